"""How a check is carried out: whatever a project raises meanwhile, Django gets messages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from django.core.checks import CheckMessage, Error, Warning
from django.utils.connection import ConnectionDoesNotExist

from django_integration.conf import WrongSettingError

TAG = "rowmill"


def never_raising(check: Callable[[], Iterator[CheckMessage]]) -> Callable[..., list[CheckMessage]]:
    """A check as Django calls it. What a project's own code raises meanwhile is told by Django's own checks."""

    def run(**_: Any) -> list[CheckMessage]:
        found: list[CheckMessage] = []
        try:
            found.extend(check())
        except WrongSettingError as error:
            # Each check that reads settings comes upon it; one tells. Those of files are told by the files app.
            if check.__name__ == "check_settings" and str(error).startswith("IMPORT_"):
                found.append(Error(str(error), id="rowmill.E004"))
        except ConnectionDoesNotExist:
            pass  # told by check_database
        except Exception as error:  # noqa: BLE001 - settings and modules of the project may do anything
            text = f"{type(error).__name__}: {error}"[:500]
            found.append(Warning(f"{check.__name__} could not be carried through: {text}", id="rowmill.W099"))
        return found

    run.__name__ = check.__name__
    run.__doc__ = check.__doc__
    return run
