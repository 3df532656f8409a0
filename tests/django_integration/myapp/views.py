# ruff: noqa
# mypy: ignore-errors
# fmt: off
# apps/myapp/api/views.py

from rest_framework.viewsets import ModelViewSet
from django_integration.imports.api.mixins import AsyncImportProgressMixin
from tests.django_integration.myapp.models import MyModel
from tests.django_integration.myapp.serializers import MyModelSerializer


class MyModelViewSet(AsyncImportProgressMixin, ModelViewSet):
    """ViewSet with import capability."""
    
    queryset = MyModel.objects.all()
    serializer_class = MyModelSerializer
    
    # Specify the import handler
    import_row_handler = "tests.django_integration.myapp.import_handlers.my_import_handler"
