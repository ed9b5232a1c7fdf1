"""SIGTERM and Ctrl-C: deferred to a safe moment, or turned into an exit that cleans up."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn


@contextmanager
def deferred_signals() -> Iterator[list[int]]:
    """Collect SIGTERM and Ctrl-C, instead of being ended by them in the middle of a step."""
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():  # Python's rule for signals
        yield received
        return
    kept = {
        number: signal.signal(number, lambda number, _: received.append(number))
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield received
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


def exit_on_terminate(number: int, _: object) -> NoReturn:
    """Let a scheduler's stop unwind, as Ctrl-C does: nothing half-written stays behind."""
    raise SystemExit(128 + number)
