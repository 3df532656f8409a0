"""Addresses of the example."""

from django.contrib import admin
from django.contrib.staticfiles.urls import staticfiles_urlpatterns
from django.urls import include, path
from django.views.generic import TemplateView
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView
from rest_framework.routers import DefaultRouter
from travel.api.views import AirportViewSet, FlightViewSet

router = DefaultRouter()
router.register("airports", AirportViewSet)
router.register("flights", FlightViewSet)

urlpatterns = [
    path("", TemplateView.as_view(template_name="travel/start.html"), name="start"),
    path("admin/", admin.site.urls),
    path("login/", include("rest_framework.urls", namespace="rest_framework")),
    path("api/files/", include("django_integration.files.api.urls")),
    path("api/", include("django_integration.imports.api.urls")),
    path("api/schema/", SpectacularAPIView.as_view(), name="schema"),
    path("api/docs/", SpectacularSwaggerView.as_view(url_name="schema"), name="docs"),
    path("api/", include(router.urls)),
    # The web server of scripts/serve has no files of its own; with DEBUG only.
    *staticfiles_urlpatterns(),
]
