"""Copies of sources that cannot be entered midway, made once per job in a form that can."""

from engine.staging.utf8 import stage_as_utf8, staged_key

__all__ = ["stage_as_utf8", "staged_key"]
