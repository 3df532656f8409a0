"""The command line: `rowmill run | inspect | status | cancel`. It parses and prints; the work is `engine.runs`'s."""

import gc

# What is made while modules load stays; looking for garbage among it is a fifth of the time of the start.
_was_collecting = gc.isenabled()
gc.disable()
try:
    from engine.cli.command import main
finally:
    gc.freeze()
    if _was_collecting:
        gc.enable()

__all__ = ["main"]
