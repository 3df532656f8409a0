# ruff: noqa
# mypy: ignore-errors
"""The row handlers of the usage guide, as printed there; each in a function's name of its own."""
# fmt: off

import logging

logger = logging.getLogger(__name__)


class MyModel:
    """Stands in for the guide's Django model."""

    id = 17
    created: list = []

    class objects:
        @staticmethod
        def update_or_create(email, defaults):
            MyModel.created.append((email, defaults))
            return MyModel, True

        @staticmethod
        def bulk_create(models):
            MyModel.created.extend(models)

    def __init__(self, **data):
        self.data = data


# "Define an Import Handler"
def my_import_handler(row_index, row, import_job_id, options):
    """
    Process a single row from the import file.
    
    Args:
        row_index: 1-based row number
        row: List of cell values
        import_job_id: UUID of the import job
        options: Dict of import options
        
    Returns:
        {"ok": True, "result": {...}} on success
        {"ok": False, "error": "..."} on failure
    """
    try:
        # Parse row data
        name = row[0]
        email = row[1]
        
        # Validate
        if not email:
            return {"ok": False, "error": "Email is required"}
        
        # Process (create/update records)
        from apps.myapp.models import MyModel
        obj, created = MyModel.objects.update_or_create(
            email=email,
            defaults={'name': name}
        )
        
        return {"ok": True, "result": {"id": obj.id}}
        
    except Exception as e:
        return {"ok": False, "error": str(e)}


# "Custom Options in Handler"
def custom_options(row_index, row, import_job_id, options):
    update_existing = options.get('update_existing', False)
    validate_refs = options.get('validate_references', False)
    # Use options in processing logic


# "Return Consistent Format"
def good_success(row_index, row, import_job_id, options):
    return {"ok": True, "result": {"id": 123}}


def good_failure(row_index, row, import_job_id, options):
    return {"ok": False, "error": "Validation failed"}


def bad_not_a_dict(row_index, row, import_job_id, options):
    return True  # Not a dict


def bad_wrong_key(row_index, row, import_job_id, options):
    return {"success": True}  # Wrong key


# "Handle Exceptions"
def handle_exceptions(row_index, row, import_job_id, options):
    try:
        # Processing logic
        return {"ok": True, "result": {...}}
    except Exception as e:
        return {"ok": False, "error": str(e)}


# "Validate Input"
def validate_input(row_index, row, import_job_id, options):
    # Check row length
    if len(row) < 3:
        return {"ok": False, "error": "Row has insufficient columns"}
    
    # Validate data
    email = row[2]
    if not email or '@' not in email:
        return {"ok": False, "error": "Invalid email format"}
    
    # Process...


# "Use Bulk Operations"
# Global cache for batch operations
_batch_cache = []

def use_bulk_operations(row_index, row, import_job_id, options):
    global _batch_cache
    
    # Add to batch
    _batch_cache.append({
        'email': row[0],
        'name': row[1]
    })
    
    # Flush batch periodically
    batch_size = options.get('batch_size', 500)
    if len(_batch_cache) >= batch_size:
        MyModel.objects.bulk_create([
            MyModel(**data) for data in _batch_cache
        ])
        _batch_cache.clear()
    
    return {"ok": True, "result": {"cached": True}}


# "Log Important Events"
def log_important_events(row_index, row, import_job_id, options):
    logger.info(f"Processing row {row_index} for job {import_job_id}")
    # ...
