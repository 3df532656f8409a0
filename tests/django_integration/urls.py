"""Addresses of the tests' project."""

from django.contrib import admin
from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView
from rest_framework.routers import SimpleRouter

from tests.django_integration.myapp.import_views import BatchViewSet, OwnHandlersViewSet, PickyViewSet, StationViewSet
from tests.django_integration.myapp.views import MyModelViewSet

router = SimpleRouter()
router.register("mymodels", MyModelViewSet, basename="mymodel")
router.register("picky", PickyViewSet, basename="picky")
router.register("batches", BatchViewSet, basename="batches")
router.register("stations", StationViewSet, basename="stations")
router.register("dynamic", OwnHandlersViewSet, basename="dynamic")

urlpatterns = [
    path("admin/", admin.site.urls),
    path("api/files/", include("django_integration.files.api.urls")),
    path("api/", include("django_integration.imports.api.urls")),
    path("api/", include(router.urls)),
    path("api/schema/", SpectacularAPIView.as_view(), name="schema"),
]
