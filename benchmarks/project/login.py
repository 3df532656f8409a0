"""A login by a signed token, which asks no database, as JSON Web Tokens do; and how many queries a request took."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from django.core import signing
from django.db import connection
from django.http import HttpRequest, HttpResponse
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

_SCHEME = "Token "


def token_of(user_id: int) -> str:
    """What the user sends as `Authorization`."""
    return _SCHEME + signing.dumps(user_id)


class TokenLogin(BaseAuthentication):
    """`Authorization: Token …`: who that is says the signature."""

    def authenticate(self, request: Request) -> tuple[Any, None] | None:
        """Check it."""
        given = request.headers.get("Authorization", "")
        if not given.startswith(_SCHEME):
            return None
        try:
            user_id = signing.loads(given.removeprefix(_SCHEME))
        except signing.BadSignature as error:
            raise AuthenticationFailed from error
        return SimpleNamespace(pk=user_id, is_authenticated=True, is_active=True, is_staff=False), None


def count_queries(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """A middleware that says in `X-Queries` how many statements the database was sent."""

    def answer(request: HttpRequest) -> HttpResponse:
        count = 0

        def counted(execute: Callable[..., Any], *arguments: Any) -> Any:
            nonlocal count
            count += 1
            return execute(*arguments)

        with connection.execute_wrapper(counted):
            response = get_response(request)
        response.headers["X-Queries"] = str(count)
        return response

    return answer
