"""Ready-made batch handlers: whole batches into a model's table, with the outcome of row by row."""

from django_integration.imports.bulk.columns import Column, Lookup
from django_integration.imports.bulk.handler import BulkUpsert, bulk_upsert

__all__ = ["BulkUpsert", "Column", "Lookup", "bulk_upsert"]
