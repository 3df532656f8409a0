"""Airports and flights."""

from __future__ import annotations

from django.db import models


class Airport(models.Model):
    """An airport of the world."""

    icao = models.CharField("ICAO code", max_length=4, unique=True)
    iata = models.CharField("IATA code", max_length=4, blank=True)
    name = models.CharField(max_length=200)
    city = models.CharField(max_length=100)
    country = models.CharField(max_length=10)
    elevation_feet = models.FloatField(null=True, blank=True)
    latitude = models.FloatField(help_text="Degrees, north is positive.")
    longitude = models.FloatField(help_text="Degrees, east is positive.")
    time_zone = models.CharField(max_length=50, blank=True)

    class Meta:
        ordering = ("icao",)

    def __str__(self) -> str:
        return f"{self.icao} {self.name}"


class Flight(models.Model):
    """A flight that arrived."""

    day = models.DateField()
    carrier = models.CharField(max_length=3)
    number = models.IntegerField()
    tail_number = models.CharField(max_length=10, blank=True)
    origin = models.CharField(max_length=4)
    destination = models.CharField(max_length=4)
    arrival_time = models.TimeField(help_text="Local time of the destination.")
    # Where it comes from. Not unique on purpose: if a row were ever run twice, it would show here.
    import_job_id = models.UUIDField(null=True, blank=True, db_index=True, editable=False)
    row_index = models.BigIntegerField(null=True, blank=True, editable=False)

    class Meta:
        ordering = ("id",)

    def __str__(self) -> str:
        return f"{self.carrier} {self.number} on {self.day}"
