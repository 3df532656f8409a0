"""What drf-spectacular leaves out of the schema of plain model views."""

from __future__ import annotations

from typing import Any

_METHODS = ("get", "post", "put", "patch", "delete")


def document_errors(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Add the errors that any view may answer, where it does not describe its own, and times as DRF writes them."""
    for path, operations in result["paths"].items():
        for method in _METHODS:
            operation = operations.get(method)
            if operation is None:
                continue
            found = {"401": "Not logged in.", "403": "Not allowed."}
            if method in ("post", "put", "patch"):
                found |= {"400": "The fields at fault are named.", "415": "The content type is not understood."}
            if "{" in path:
                found["404"] = "There is none, or none of yours."
            for code, description in found.items():
                operation["responses"].setdefault(code, {"description": description})
    _write_times_without_zone(result)
    return result


def _write_times_without_zone(node: Any) -> None:
    """OpenAPI's format "time" has a zone, Django's times have none."""
    if isinstance(node, list):
        for each in node:
            _write_times_without_zone(each)
    elif isinstance(node, dict):
        if node.get("format") == "time":
            del node["format"]
            node["pattern"] = r"^\d\d:\d\d(:\d\d(\.\d+)?)?$"
        for each in node.values():
            _write_times_without_zone(each)
