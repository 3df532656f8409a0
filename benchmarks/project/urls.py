"""One view for each mode."""

from __future__ import annotations

from django.urls import include, path
from rest_framework.routers import SimpleRouter
from rest_framework.viewsets import ViewSet

from django_integration.imports.api.mixins import AsyncImportProgressMixin


class RowViewSet(AsyncImportProgressMixin, ViewSet):
    """Rows to a row handler."""

    import_row_handler = "benchmarks.people.check_email"


class SlowViewSet(AsyncImportProgressMixin, ViewSet):
    """Rows to a row handler that waits."""

    import_row_handler = "benchmarks.people.check_email_slowly"


class BatchViewSet(AsyncImportProgressMixin, ViewSet):
    """Frames to a batch handler."""

    import_batch_handler = "benchmarks.people_batch.check_emails"


router = SimpleRouter()
router.register("row", RowViewSet, basename="row")
router.register("slow", SlowViewSet, basename="slow")
router.register("batch", BatchViewSet, basename="batch")

urlpatterns = [path("api/", include("django_integration.imports.api.urls")), path("api/", include(router.urls))]
