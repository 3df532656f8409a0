"""Ready-made batch handlers: whole batches into a model's table, with the outcome of row by row."""

from django_integration.imports.bulk.columns import Column, Lookup, Option
from django_integration.imports.bulk.handler import BulkUpsert, bulk_upsert

__all__ = ["BulkUpsert", "Column", "Lookup", "Option", "bulk_upsert"]
