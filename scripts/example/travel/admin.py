"""Airports and flights in the admin."""

from django.contrib import admin

from travel.models import Airport, Flight


@admin.register(Airport)
class AirportAdmin(admin.ModelAdmin):
    """Airports."""

    list_display = ("icao", "iata", "name", "city", "country")
    search_fields = ("icao", "iata", "name", "city")


@admin.register(Flight)
class FlightAdmin(admin.ModelAdmin):
    """Flights."""

    list_display = ("id", "day", "carrier", "number", "origin", "destination", "arrival_time")
    search_fields = ("tail_number",)
    show_full_result_count = False
