"""Whose files a user may know of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import QuerySet

from django_integration.files.models import FileModel

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser, AnonymousUser


def may_manage(user: AbstractBaseUser | AnonymousUser) -> bool:
    """Whether the user may see and confirm everybody's files."""
    return bool(user.has_perm("rowmill_files.manage_filemodels"))  # type: ignore[union-attr]


def visible_files(user: AbstractBaseUser | AnonymousUser) -> QuerySet[FileModel]:
    """The files that a user may know of: their own; with the permission to manage files, all."""
    files = FileModel.objects.all()
    return files if may_manage(user) else files.filter(uploaded_by_id=user.pk) if user.pk else files.none()
