"""Helper processes that share the work of this one."""

import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_all_start_methods, get_context, parent_process
from pathlib import Path
from threading import Thread
from typing import Any

SOCKET_PATH = 104  # bytes that the path of a socket may have: on macOS; 108 on Linux


@contextmanager
def helpers(count: int, work: Callable[[], Any]) -> Iterator[None]:
    """Let so many other processes do ``work`` during the block, and wait for them at its end.

    Where the block is left by an exception, they get SIGTERM; where this process dies, they end too.
    """
    context: Any = get_context("forkserver" if _has_forkserver() else "spawn")
    context.set_forkserver_preload(["vdsrlib.studies.runner", "torch._dynamo"])
    processes = [context.Process(target=_help, args=[work], daemon=True) for _ in range(count)]
    for process in processes:
        process.start()
    try:
        yield
    except BaseException:
        for process in processes:
            process.terminate()  # which saves the state of its run
        raise
    finally:
        for process in processes:
            process.join()


def _has_forkserver() -> bool:
    """Whether helpers can come from a server that imports once what they need, and ends with this process.

    Windows has no such server. Elsewhere its socket lies in the temporary folder, and the path of a socket is
    short. Without the server, every helper imports for itself.
    """
    socket = Path(tempfile.gettempdir(), "pymp-12345678", "listener-12345678")
    return "forkserver" in get_all_start_methods() and len(os.fsencode(socket)) < SOCKET_PATH


def _help(work: Callable[[], Any]) -> None:
    """Do the work; stop where the process that wanted it ends, however it does."""

    def stop() -> None:
        parent = parent_process()
        assert parent is not None
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)  # which saves the state of the run

    Thread(target=stop, daemon=True).start()
    work()
