"""The command line: `rowmill run | inspect | status | cancel`. It parses and prints; the work is `engine.runs`'s."""

import gc
import signal
import threading

# What is made while modules load stays; looking for garbage among it is a fifth of the time of the start.
_was_collecting = gc.isenabled()
gc.disable()
# Until there is something to tell, Ctrl-C ends the process without a traceback of what was loading.
_is_ended_in_silence = (
    threading.current_thread() is threading.main_thread()
    and signal.getsignal(signal.SIGINT) is signal.default_int_handler
)
try:
    if _is_ended_in_silence:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from engine.cli.command import main
finally:
    if _is_ended_in_silence:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    gc.freeze()
    if _was_collecting:
        gc.enable()

__all__ = ["main"]
