"""Airports and flights as the API shows them."""

from rest_framework import serializers

from travel.models import Airport, Flight


class AirportSerializer(serializers.ModelSerializer):
    """An airport."""

    class Meta:
        model = Airport
        fields = (
            "id",
            "icao",
            "iata",
            "name",
            "city",
            "country",
            "elevation_feet",
            "latitude",
            "longitude",
            "time_zone",
        )


class FlightSerializer(serializers.ModelSerializer):
    """A flight."""

    class Meta:
        model = Flight
        fields = (
            "id",
            "day",
            "carrier",
            "number",
            "tail_number",
            "origin",
            "destination",
            "arrival_time",
            "import_job_id",
            "row_index",
        )
