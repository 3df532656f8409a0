"""The model of the usage guide."""

from django.db import models


class MyModel(models.Model):
    name = models.CharField(max_length=200)
    email = models.EmailField(unique=True)

    def __str__(self) -> str:
        return self.email


class SeenRow(models.Model):
    """One record per row that a handler was given and that was committed; the oracle of the fault tests."""

    job = models.CharField(max_length=36)
    row_index = models.BigIntegerField()

    def __str__(self) -> str:
        return f"{self.job}: {self.row_index}"
