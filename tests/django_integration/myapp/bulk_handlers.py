"""Handlers of ready-made kinds, apart: what they need takes a process a third of a second to load."""

from __future__ import annotations

from django_integration.imports.bulk import bulk_upsert
from tests.django_integration.myapp.models import Station

upsert_stations = bulk_upsert(Station, match=("code",), columns={"code": "Code", "name": "Name"})
