"""The model of the usage guide."""

import uuid

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


class Carrier(models.Model):
    """What a foreign key of the bulk tests points to; its name is not unique."""

    code = models.CharField(max_length=3, unique=True)
    name = models.CharField(max_length=20, blank=True)

    def __str__(self) -> str:
        return self.code


class Departure(models.Model):
    """Has every rule that a database or a field can hold against a row."""

    class State(models.TextChoices):
        PLANNED = "planned"
        LEFT = "left"

    carrier = models.ForeignKey(Carrier, on_delete=models.CASCADE, db_column="Carrier Of")
    number = models.IntegerField()
    price = models.DecimalField(max_digits=6, decimal_places=2, null=True, blank=True)
    day = models.DateField(null=True, blank=True, db_column="select")
    note = models.CharField(max_length=5, blank=True)
    state = models.CharField(max_length=10, choices=State.choices, default=State.PLANNED)
    tag = models.CharField(max_length=5, null=True, blank=True, unique=True)
    seats = models.IntegerField(default=100)
    token = models.UUIDField(default=uuid.uuid4, editable=False)
    made_at = models.DateTimeField(auto_now_add=True)
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["carrier", "number"], name="one_departure"),
            models.CheckConstraint(condition=models.Q(number__gte=0), name="number_not_negative"),
        )

    def __str__(self) -> str:
        return f"{self.carrier_id} {self.number}"


class Station(models.Model):
    """A plain table, unique in its code alone, that points to itself."""

    code = models.CharField(max_length=4, unique=True)
    name = models.CharField(max_length=10)
    floor = models.SmallIntegerField(default=0)
    parent = models.ForeignKey("self", on_delete=models.CASCADE, null=True, blank=True)

    def __str__(self) -> str:
        return self.code
