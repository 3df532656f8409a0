"""The command line: `rowmill run | inspect | status | cancel`. It parses and prints; the work is `engine.runs`'s."""

from engine.cli.command import main

__all__ = ["main"]
