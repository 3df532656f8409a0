"""Where our own addresses are in a project, which may have put them below anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any

from django.http import HttpRequest
from django.urls import NoReverseMatch, URLResolver, get_resolver, reverse
from rest_framework.request import Request
from rest_framework.settings import api_settings

#: Parts of a request's address that are tried below one of ours.
_MOST_PARTS = 4


def address_of(name: str, kwargs: Mapping[str, Any], request: HttpRequest | Request | None = None) -> str:
    """The address of one of our routes; absolute where a request tells the host, else from the root.

    It is found also where the project includes our addresses in a namespace of its own, or below a part of the address
    that is captured (`api/<version>/`): the request's own namespaces and parts are tried first, so that one of version
    2 is answered with addresses of version 2, then REST framework's DEFAULT_VERSION, then every namespace there is.

    Raises:
        NoReverseMatch: the URLconf does not include it, or below a part that neither tells.
    """
    for namespace in _namespaces(request):
        for parts in _parts(request):
            try:
                path = reverse(f"{namespace}{name}", kwargs={**parts, **kwargs})
            except NoReverseMatch:
                continue
            return path if request is None else request.build_absolute_uri(path)
    raise NoReverseMatch(
        f"There is no address {name!r} with {', '.join(kwargs)}: include django_integration.files.api.urls and "
        "django_integration.imports.api.urls in the URLconf, below no captured part but that of the API's version."
    )


def _namespaces(request: HttpRequest | Request | None) -> Iterator[str]:
    match = getattr(request, "resolver_match", None)
    own = match.namespaces if match else []
    tried = ["".join(f"{each}:" for each in own[:count]) for count in range(len(own), -1, -1)]
    yield from tried
    yield from (each for each in _all_namespaces(get_resolver(), "") if each not in tried)


def _all_namespaces(resolver: URLResolver, above: str) -> Iterator[str]:
    for name, (_prefix, below) in resolver.namespace_dict.items():
        yield f"{above}{name}:"
        yield from _all_namespaces(below, f"{above}{name}:")


def _parts(request: HttpRequest | Request | None) -> Iterator[dict[str, Any]]:
    """All of the request's own parts first, so that it is not sent out of its version where there is one without."""
    match = getattr(request, "resolver_match", None)
    own = dict(list(match.kwargs.items())[:_MOST_PARTS]) if match else {}
    chosen = [dict(items) for count in range(len(own), -1, -1) for items in combinations(own.items(), count)]
    yield from chosen
    version = api_settings.VERSION_PARAM
    if api_settings.DEFAULT_VERSION is not None and version not in own:
        yield from ({**parts, version: api_settings.DEFAULT_VERSION} for parts in chosen)
