"""Our addresses below a captured version and in a namespace; views below a parent, and beside all versions."""

from django.contrib import admin
from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView
from rest_framework.routers import SimpleRouter
from rest_framework.viewsets import GenericViewSet

from django_integration.imports.api.mixins import AsyncImportCancelMixin, AsyncImportProgressMixin


class PersonViewSet(AsyncImportProgressMixin, AsyncImportCancelMixin, GenericViewSet):
    """A view with nothing but imports."""

    import_row_handler = "tests.django_integration.myapp.handlers.refuse_odd"


class UnversionedViewSet(PersonViewSet):
    """Its requests have no version."""

    versioning_class = None


nested, plain = SimpleRouter(), SimpleRouter()
nested.register("people", PersonViewSet, basename="people")
plain.register("people", UnversionedViewSet, basename="plain-people")
ours = [
    path("files/", include("django_integration.files.api.urls")),
    path("", include("django_integration.imports.api.urls")),
]

urlpatterns = [
    path("admin/", admin.site.urls),
    path("api/<version>/", include((ours, "ours"))),
    path("api/<version>/tenants/<int:tenant_pk>/", include(nested.urls)),
    path("plain/", include(plain.urls)),
    path("schema/", SpectacularAPIView.as_view(api_version="v2")),
]
