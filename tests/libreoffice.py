"""LibreOffice, where it is installed: one process that opens workbooks and saves each in many formats."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

#: Endings → the filters that write them.
FILTERS = {"xlsx": "Calc MS Excel 2007 XML", "ods": "calc8", "xls": "MS Excel 97", "csv": "Text - txt - csv (StarCalc)"}
_TIMEOUT_SECONDS = 1_200
_MODULE = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE script:module PUBLIC "-//OpenOffice.org//DTD OfficeDocument 1.0//EN" "module.dtd">
<script:module xmlns:script="http://openoffice.org/2000/script" script:name="Module1"
 script:language="StarBasic">{}</script:module>"""
_MACRO = """
Sub Main
  On Error GoTo Ending
  Dim opening(0) As New com.sun.star.beans.PropertyValue
  opening(0).Name = "Hidden"
  opening(0).Value = True
{steps}
Ending:
  StarDesktop.terminate()
End Sub

Sub SaveAs(book, target, filter, options)
  Dim saving(1) As New com.sun.star.beans.PropertyValue
  saving(0).Name = "FilterName"
  saving(0).Value = filter
  saving(1).Name = "FilterOptions"
  saving(1).Value = options
  book.storeToURL(target, saving())
End Sub
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Saving:
    """A file that is to be written."""

    path: Path
    options: str = ""
    """Of the filter for CSV: delimiter, quote, encoding and so on, as LibreOffice's help has them."""


def is_installed() -> bool:
    """Whether there is a LibreOffice to be started."""
    return shutil.which("soffice") is not None


def save(workbooks: Sequence[tuple[Path, Sequence[Saving]]]) -> None:
    """Open each workbook once and save it: by one process, whose profile and macro are its own."""
    steps = []
    for workbook, savings in workbooks:
        steps.append(f'  book = StarDesktop.loadComponentFromURL("{workbook.as_uri()}", "_blank", 0, opening())')
        for saving in savings:
            form = FILTERS[saving.path.suffix.removeprefix(".")]
            steps.append(f'  SaveAs(book, "{saving.path.as_uri()}", "{form}", "{saving.options}")')
        steps.append("  book.close(True)")
    with tempfile.TemporaryDirectory() as profile:
        _run(profile, "--terminate_after_init")  # which writes the profile
        module = Path(profile) / "user" / "basic" / "Standard" / "Module1.xba"
        module.write_text(_MODULE.format(escape(_MACRO.format(steps="\n".join(steps)))), encoding="utf-8")
        _run(profile, "macro:///Standard.Module1.Main")
    missing = [saving.path.name for _, savings in workbooks for saving in savings if not saving.path.exists()]
    assert not missing, f"LibreOffice has not written {', '.join(missing)}"


def _run(profile: str, word: str) -> None:
    command = ["soffice", f"-env:UserInstallation={Path(profile).as_uri()}", "--headless", "--norestore", word]
    subprocess.run(command, check=True, capture_output=True, timeout=_TIMEOUT_SECONDS)
