"""Views with the mixins' options in use."""

from __future__ import annotations

from rest_framework.viewsets import ViewSet

from django_integration.imports.api.mixins import AsyncImportCancelMixin, AsyncImportProgressMixin

HANDLERS = "tests.django_integration.myapp.handlers"


class PickyViewSet(AsyncImportProgressMixin, AsyncImportCancelMixin, ViewSet):
    """One purpose, one further handler."""

    import_row_handler = f"{HANDLERS}.accept"
    import_row_handlers = (f"{HANDLERS}.refuse_odd",)
    import_file_purposes = ("people_import",)


class OwnHandlersViewSet(AsyncImportProgressMixin, ViewSet):
    """The handler depends on the user."""

    def get_import_handler_path(self) -> str:
        """See the guide, Dynamic Handler Selection."""
        if self.request.user.is_staff:
            return f"{HANDLERS}.accept"
        return f"{HANDLERS}.refuse_odd"


class BatchViewSet(AsyncImportProgressMixin, ViewSet):
    """Gives its rows to a batch handler that does not declare itself one."""

    import_batch_handler = f"{HANDLERS}.write_in_batches"


class StationViewSet(AsyncImportProgressMixin, ViewSet):
    """Gives its rows to the ready-made batch handler."""

    import_row_handler = "tests.django_integration.myapp.bulk_handlers.upsert_stations"
