"""The travel app."""

from django.apps import AppConfig


class TravelConfig(AppConfig):
    """Airports and flights."""

    name = "travel"
