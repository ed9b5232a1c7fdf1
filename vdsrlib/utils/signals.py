"""SIGINT, SIGTERM and SIGHUP: deferred to a safe moment, or turned into an exit that cleans up."""

import ctypes
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

DEFERRED = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


@contextmanager
def deferred_signals() -> Iterator[list[int]]:
    """Collect the signals that ask the program to end; at the end of the block, exit as they would have.

    Python hears signals in its main thread alone, so that elsewhere nothing is deferred. A signal that is
    ignored, as SIGHUP under nohup, stays ignored.

    Yields:
        The signals received so far. The block should end soon where there is one.

    Raises:
        KeyboardInterrupt: there was a SIGINT, and the block itself raised nothing.
        SystemExit: there was another one; the status is 128 plus its number.
    """
    received: list[int] = []
    handlers = {}
    if threading.current_thread() is threading.main_thread():
        for number in DEFERRED:
            if signal.getsignal(number) is not signal.SIG_IGN:
                handlers[number] = signal.signal(number, lambda number, _: received.append(number))
    try:
        yield received
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    if received:
        raise KeyboardInterrupt if received[0] == signal.SIGINT else SystemExit(128 + received[0])


def exit_cleanly(number: int, frame: FrameType | None) -> None:
    """Let a stop unwind the program, so that nothing half-written stays behind.

    An import is ended first. NumPy and PyTorch, left half imported, fail in ways of their own.
    """
    if _is_importing(frame):
        later = threading.Timer(0.02, signal.raise_signal, [number])
        later.daemon = True
        later.start()
    elif number == signal.SIGINT:
        raise KeyboardInterrupt
    else:
        raise SystemExit(128 + number)


@contextmanager
def explain_lost_pages(place: str | Path) -> Iterator[None]:
    """End the program with a sentence, and status 2, where a mapped file in ``place`` is cut short meanwhile.

    The system sends SIGBUS to whoever reads beyond the new end. Python's own handlers run after the read,
    which never ends, so that this one is the C library's.
    """
    if not hasattr(signal, "SIGBUS"):  # Windows lets no one cut a mapped file short
        yield
        return
    sentence = (
        f"vdsrlib: {place} was changed while it was read; remove it, and it is prepared again.\n".encode()
    )

    def end(number: int) -> None:
        os.write(2, sentence)
        os._exit(2)

    handler = ctypes.CFUNCTYPE(None, ctypes.c_int)(end)
    set_handler = ctypes.CDLL(None).signal
    set_handler.argtypes, set_handler.restype = (ctypes.c_int, ctypes.c_void_p), ctypes.c_void_p
    before = set_handler(signal.SIGBUS, ctypes.cast(handler, ctypes.c_void_p))
    try:
        yield
    finally:
        set_handler(signal.SIGBUS, before)


def _is_importing(frame: FrameType | None) -> bool:
    while frame:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False
