"""`path("api/", include("django_integration.imports.api.urls"))`."""

from django.urls import include, path
from rest_framework.routers import SimpleRouter

from django_integration.imports.api.monitoring import HealthView, MetricsView
from django_integration.imports.api.views import ImportJobViewSet, ImportStatusView, PreviewView

router = SimpleRouter()
router.register("imports", ImportJobViewSet, basename="import")

urlpatterns = [
    path("import/status/", ImportStatusView.as_view(), name="import-status"),
    path("imports/metrics/", MetricsView.as_view(), name="import-metrics"),
    path("imports/health/", HealthView.as_view(), name="import-health"),
    path("imports/preview/", PreviewView.as_view(), name="import-preview"),
    path("", include(router.urls)),
]
