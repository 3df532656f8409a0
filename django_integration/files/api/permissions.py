"""Who may use an endpoint. Which files a user may know of is a matter of `services.visible_files`: 404, not 403."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rest_framework.exceptions import PermissionDenied
from rest_framework.permissions import BasePermission

from django_integration.files.errors import LinkError

if TYPE_CHECKING:
    from rest_framework.request import Request
    from rest_framework.views import APIView


class HasSignedLink(BasePermission):
    """The signature of the address is the right; the view finds what was signed in its `link`."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Let the view read its token. Raises PermissionDenied with the link's own reason."""
        if request.method not in view.allowed_methods:
            return True  # nothing will be done, and 405 says more
        signed_view: Any = view
        try:
            signed_view.link = signed_view.read_link(view.kwargs["token"])
        except LinkError as error:
            raise PermissionDenied(error.message, error.code) from error
        return True
