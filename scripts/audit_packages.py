"""Runs pip-audit over this environment and tells findings apart from advisories that cannot be reached.

Advisories are those of PyPI; OSV_URL names a server of the OSV API to ask instead, such as
https://api.osv.dev/v1/query or a mirror of it. Further arguments go to pip-audit.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

#: Advisories that are known and harmless here → why. Each needs a sentence.
ACCEPTED: Mapping[str, str] = {}

_TIMEOUT_SECONDS = 300
#: How pip-audit ends where the server of the advisories is away, or answers with an error of its own.
_AWAY = ("ConnectionError", "ServiceError")


def main(arguments: Sequence[str]) -> int:
    """Audit; 0 also where nothing could be looked up, which is said."""
    command = [sys.executable, "-m", "pip_audit", "--format", "json", "--progress-spinner", "off", "--skip-editable"]
    if os.environ.get("OSV_URL"):
        command += ["--vulnerability-service", "osv", "--osv-url", os.environ["OSV_URL"]]
    command += arguments
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        print(f"NOT AUDITED: no answer within {_TIMEOUT_SECONDS} seconds.", file=sys.stderr)
        return 0
    try:
        report = json.loads(done.stdout)
    except ValueError:
        if "Traceback" in done.stderr and not any(name in done.stderr for name in _AWAY):
            print(done.stderr, file=sys.stderr)
            return 1
        print(f"NOT AUDITED: no advisories were reached.\n{done.stderr[-500:]}", file=sys.stderr)
        return 0
    code, text = verdict(report, ACCEPTED)
    print(text)
    return code


def verdict(report: Mapping[str, Any], accepted: Mapping[str, str]) -> tuple[int, str]:
    """Exit code and text for a report of pip-audit."""
    audited = [package for package in report["dependencies"] if "vulns" in package]
    if not audited:
        return 0, f"NOT AUDITED: of {len(report['dependencies'])} packages no index knew any advisories."
    found = [
        f"{package['name']} {package['version']}: {vulnerability['id']}, fixed in "
        f"{', '.join(vulnerability['fix_versions']) or 'no version'}"
        for package in audited
        for vulnerability in package["vulns"]
        if not {vulnerability["id"], *vulnerability.get("aliases", ())} & set(accepted)
    ]
    text = f"{len(audited)} of {len(report['dependencies'])} packages audited, {len(found)} findings"
    return (1 if found else 0), "\n".join([text, *found])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
