"""What rows of the people become."""

from __future__ import annotations

from django.db import models


class Person(models.Model):
    """A row, under its number."""

    number = models.BigIntegerField(unique=True)
    first = models.CharField(max_length=50)
    last = models.CharField(max_length=50)
    email = models.EmailField()
    phone = models.CharField(max_length=30)
    amount = models.DecimalField(max_digits=12, decimal_places=2)
    date = models.DateField()
    country = models.CharField(max_length=2)
    note = models.TextField(blank=True)
    flag = models.CharField(max_length=5)

    def __str__(self) -> str:
        return f"{self.first} {self.last}"
