"""What is measured: each case a command that runs in a process of its own."""

from benchmarks.cases.case import Case, Group, Setting
from benchmarks.cases.catalogue import all_cases

__all__ = ["Case", "Group", "Setting", "all_cases"]
