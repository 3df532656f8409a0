"""`path("api/", include("django_integration.imports.api.urls"))`."""

from django.urls import include, path
from rest_framework.routers import SimpleRouter

from django_integration.imports.api.views import ImportJobViewSet, ImportStatusView, PreviewView

router = SimpleRouter()
router.register("imports", ImportJobViewSet, basename="import")

urlpatterns = [
    path("import/status/", ImportStatusView.as_view(), name="import-status"),
    path("imports/preview/", PreviewView.as_view(), name="import-preview"),
    path("", include(router.urls)),
]
