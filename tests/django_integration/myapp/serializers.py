"""The serializer of the usage guide's view."""

from rest_framework import serializers

from tests.django_integration.myapp.models import MyModel


class MyModelSerializer(serializers.ModelSerializer[MyModel]):
    class Meta:
        model = MyModel
        fields = ("id", "name", "email")
