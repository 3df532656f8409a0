"""Airports and flights, each with an import."""

from rest_framework.viewsets import ModelViewSet

from django_integration.imports.api.mixins import AsyncImportCancelMixin, AsyncImportProgressMixin
from travel.api.serializers import AirportSerializer, FlightSerializer
from travel.models import Airport, Flight


class AirportViewSet(AsyncImportProgressMixin, AsyncImportCancelMixin, ModelViewSet):
    """Airports of the world."""

    queryset = Airport.objects.all()
    serializer_class = AirportSerializer
    import_row_handler = "travel.import_handlers.import_airport"
    import_file_purposes = ["airport_import"]


class FlightViewSet(AsyncImportProgressMixin, AsyncImportCancelMixin, ModelViewSet):
    """Flights that arrived."""

    queryset = Flight.objects.all()
    serializer_class = FlightSerializer
    import_row_handler = "travel.import_handlers.import_flight"
    import_row_handlers = ["travel.import_handlers.check_flight"]
    import_file_purposes = ["flight_import"]
