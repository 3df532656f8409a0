# ruff: noqa
# mypy: ignore-errors
# fmt: off
# apps/myapp/import_handlers.py

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
        from tests.django_integration.myapp.models import MyModel
        obj, created = MyModel.objects.update_or_create(
            email=email,
            defaults={'name': name}
        )
        
        return {"ok": True, "result": {"id": obj.id}}
        
    except Exception as e:
        return {"ok": False, "error": str(e)}
