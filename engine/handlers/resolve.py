"""A dotted path → the handler it names."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
from typing import Any

from engine.errors import HandlerError
from engine.handlers.contract import RowHandler


def resolve_handler(path: str) -> RowHandler:
    """Import the handler that `package.module.function` or `package.module:function` names.

    Raises:
        HandlerError: the path has another form, its module is missing or fails while it is
            imported, it has no such name, or what stands there cannot be called.
    """
    module_name, _, attribute = path.partition(":") if ":" in path else path.rpartition(".")
    if not module_name or not attribute or not all(part.isidentifier() for part in module_name.split(".")):
        raise _error(path, "is not of the form package.module.function")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or module_name
        if module_name == missing or module_name.startswith(missing + "."):
            raise _error(
                path,
                f"cannot be loaded: there is no module {missing!r} on the Python path (the current folder is on it)",
            ) from error
        raise _error(path, f"cannot be loaded: its module imports {missing!r}, which is not installed") from error
    except Exception as error:  # the module's own code ran, and may raise anything
        raise _error(path, f"cannot be loaded: its module fails with {type(error).__name__}: {error}") from error
    handler: Any = module
    for name in attribute.split("."):
        if not hasattr(handler, name):
            near = difflib.get_close_matches(name, [n for n in vars(handler) if not n.startswith("_")], n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise _error(path, f"cannot be loaded: {module_name!r} has no {name!r}{hint}")
        handler = getattr(handler, name)
    if not callable(handler):
        raise _error(path, f"is a {type(handler).__name__}, which cannot be called")
    result: RowHandler = handler
    return result


def handler_path_of(handler: RowHandler | str) -> str:
    """The dotted path by which another process can import a handler.

    Raises:
        HandlerError: the function has no such path: a lambda, a closure, or one of `__main__`.
    """
    if isinstance(handler, str):
        return handler
    module = getattr(handler, "__module__", None)
    name = getattr(handler, "__qualname__", None)
    shown = f"{module}.{name}"
    if module is None or name is None or "<" in name:
        raise _error(shown, "is a lambda or a nested function, which other processes cannot import")
    if module == "__main__":
        spec = getattr(importlib.import_module("__main__"), "__spec__", None)
        if spec is None or spec.name == "__main__":
            raise _error(shown, "stands in the script itself; put it into a module of its own")
        module = spec.name.removesuffix(".__main__")
    return f"{module}:{name}"


def _error(path: str, what: str) -> HandlerError:
    return HandlerError(f"The handler {path!r} {what}.", handler_path=path)
