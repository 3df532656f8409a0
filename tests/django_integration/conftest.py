"""Users and clients of the Django tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from rest_framework.test import APIClient


@pytest.fixture
def user(db: None) -> User:
    return User.objects.create_user("demo", password="demo")  # noqa: S106


@pytest.fixture
def other_user(db: None) -> User:
    return User.objects.create_user("other", password="other")  # noqa: S106


@pytest.fixture
def manager(db: None) -> User:
    """Staff, with the permission to manage everybody's files."""
    manager = User.objects.create_user("manager", is_staff=True)
    manager.user_permissions.add(Permission.objects.get(codename="manage_filemodels"))
    return manager


@pytest.fixture
def client_of() -> Callable[..., APIClient]:
    """`client_of(user)`: an API client of a logged-in user; further keywords go into every request."""

    def make(user: User, **defaults: Any) -> APIClient:
        client = APIClient(**defaults)
        client.force_authenticate(user)
        return client

    return make


@pytest.fixture
def api(client_of: Callable[..., APIClient], user: User) -> APIClient:
    """A client of `user`."""
    return client_of(user)


@pytest.fixture
def other_api(client_of: Callable[..., APIClient], other_user: User) -> APIClient:
    """A client of `other_user`."""
    return client_of(other_user)
