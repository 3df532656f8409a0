"""A dotted path → the handler it names."""

from __future__ import annotations

import importlib
import inspect
import signal
from typing import Any

from engine.errors import HandlerError
from engine.handlers.contract import BatchHandler, RowHandler


def resolve_handler(path: str) -> RowHandler:
    """Import the handler that `package.module.function` or `package.module:function` names.

    Raises:
        HandlerError: the path has another form, its module is missing or fails while it is
            imported, it has no such name, or what stands there cannot be called, or not with four arguments.
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
    except BaseException as error:  # the module's own code ran, and may raise anything
        # Where Ctrl-C is not heard, as in workers, an interrupt is the module's own, and would end each of them.
        if isinstance(error, KeyboardInterrupt) and signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            raise
        raise _error(path, f"cannot be loaded: its module fails with {_named(error)}") from error
    handler: Any = module
    for name in attribute.split("."):
        handler = _attribute(handler, name, path, f"{module_name!r} has no {attribute!r}")
    if not callable(handler):
        raise _error(path, f"is of type {type(handler).__name__}, which cannot be called")
    if inspect.iscoroutinefunction(handler):
        raise _error(path, "is an async function; a handler must be a plain one")
    if (takes := _signature_of_others(handler)) is not None:
        raise _error(
            path,
            f"takes {takes}, and is called with four arguments: (row_index, row, import_job_id, options), "
            "or (first_row_index, batch, import_job_id, options) for batches",
        )
    result: RowHandler = handler
    return result


def _signature_of_others(handler: Any) -> str | None:
    """The arguments of what would fail with those of a handler on every row; None where it would not, or who knows."""
    try:
        # As it is called, whatever a decorator has put inside.
        signature = inspect.signature(handler, follow_wrapped=False)
    except (TypeError, ValueError):
        return None  # compiled, as a rule
    try:
        signature.bind(1, [], "", {})
    except TypeError:
        return str(signature)[:200]
    return None


def _attribute(owner: Any, name: str, path: str, missing: str) -> Any:
    try:
        return getattr(owner, name)
    except AttributeError as error:
        difflib = importlib.import_module("difflib")
        near = difflib.get_close_matches(name, [n for n in dir(owner) if not n.startswith("_")], n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise _error(path, f"cannot be loaded: {missing}{hint}") from error
    except Exception as error:  # as above
        raise _error(path, f"cannot be loaded: its module fails with {_named(error)}") from error


def _named(error: BaseException) -> str:
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def handler_path_of(handler: RowHandler | BatchHandler | str) -> str:
    """The dotted path by which another process can import a handler.

    Raises:
        HandlerError: it has no such path: a lambda, a closure, a method of an object, an object that
            can be called, or a function of `__main__`.
    """
    if isinstance(handler, str):
        return handler
    kind = type(handler).__name__
    if not callable(handler):
        raise _error(repr(handler)[:80], f"is of type {kind}, which cannot be called")
    module = getattr(handler, "__module__", None)
    name = getattr(handler, "__qualname__", None)
    if module is None or name is None:
        raise _error(repr(handler)[:80], f"is of type {kind}, which other processes cannot import by name")
    shown = f"{module}.{name}"
    if "<" in name:
        raise _error(shown, "is a lambda or a nested function, which other processes cannot import")
    if module == "__main__":
        spec = getattr(importlib.import_module("__main__"), "__spec__", None)
        if spec is None or spec.name == "__main__":
            raise _error(shown, "stands in the script itself; put it into a module of its own")
        # Not compared with the handler: imported by its own name, the module is another one.
        return f"{spec.name.removesuffix('.__main__')}:{name}"
    if resolve_handler(f"{module}:{name}") != handler:
        raise _error(shown, "names something else when it is imported: a method of an object, or a wrapped function")
    return f"{module}:{name}"


def _error(path: str, what: str) -> HandlerError:
    return HandlerError(f"The handler {path!r} {what}.", handler_path=path)
