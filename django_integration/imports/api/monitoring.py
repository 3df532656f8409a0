"""For machines that watch: metrics, and a probe of the workers. Staff may, and who has IMPORT_MONITORING_TOKEN."""

from __future__ import annotations

import secrets
from typing import Any

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from django_integration.conf import import_settings
from django_integration.imports import health

#: Seconds that a worker gets to answer while the client waits.
_TIMEOUT_SECONDS = 5.0


class MayMonitor(BasePermission):
    """Staff, or `Authorization: Bearer <IMPORT_MONITORING_TOKEN>`."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Compares the whole token, in a time that tells nothing of it."""
        token = import_settings().monitoring_token
        given = request.headers.get("Authorization", "")
        if token and secrets.compare_digest(given.encode(), f"Bearer {token}".encode()):
            return True
        return bool(request.user and request.user.is_staff)


class MonitoringView(APIView):
    """Not part of the API's description: these are for machines of the house."""

    permission_classes = (MayMonitor,)

    def perform_authentication(self, request: Request) -> None:
        """Only where it is needed: a Bearer token may be no login that the project knows."""


@extend_schema(exclude=True)
class MetricsView(MonitoringView):
    """`GET /api/imports/metrics/` in Prometheus' text format; 501 without the package prometheus-client."""

    def get(self, request: Request, **_: Any) -> HttpResponse:
        """Gather them now."""
        try:
            from django_integration.imports.metrics import exposition
        except ModuleNotFoundError:
            text = "pip install 'rowmill[metrics]'\n"
            return HttpResponse(text, status=status.HTTP_501_NOT_IMPLEMENTED, content_type="text/plain")
        return HttpResponse(exposition(), content_type="text/plain; version=0.0.4; charset=utf-8")


@extend_schema(exclude=True)
class HealthView(MonitoringView):
    """`GET /api/imports/health/`: 200 when a worker has just answered, else 503 and why."""

    def get(self, request: Request, **_: Any) -> Response:
        """Send a probe and wait for it."""
        found = health.check(_TIMEOUT_SECONDS)
        if found.is_well:
            return Response({"status": "ok", "seconds": found.seconds})
        return Response({"status": "failed", "reason": found.reason}, status=status.HTTP_503_SERVICE_UNAVAILABLE)
