"""The usage guide's own test, its imports renamed and nothing else."""
# ruff: noqa
# mypy: ignore-errors
# fmt: off

import pytest
from django.core.files.base import ContentFile
from django_integration.files.models import FileModel
from django_integration.imports.models import ImportJob


@pytest.mark.django_db
def test_import_creates_job(api_client, authenticated_user):
    # Create a test file
    file_obj = FileModel.objects.create(
        purpose="test_import",
        file_name="test.csv",
        file_path="test/test.csv",
        is_confirmed=True,
        uploaded_by=authenticated_user
    )
    
    # Start import
    response = api_client.post('/api/mymodels/import/', {
        'file_id': file_obj.id,
        'options': {'batch_size': 100}
    })
    
    assert response.status_code == 202
    assert 'import_job_id' in response.data
    
    # Check job was created
    job = ImportJob.objects.get(id=response.data['import_job_id'])
    assert job.status == 'queued'
    assert job.file == file_obj
