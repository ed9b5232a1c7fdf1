"""Helper processes that share the work of this one."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_all_start_methods, get_context, parent_process
from threading import Thread
from typing import Any


@contextmanager
def helpers(count: int, work: Callable[[], Any]) -> Iterator[None]:
    """Let so many other processes do ``work`` during the block, and wait for them at its end.

    Where the block is left by an exception, they get SIGTERM; where this process dies, they end too.
    """
    # The helpers come from a server that imports everything once, also what the first optimizer would import,
    # and that ends with this process. Windows has no such server, so each helper imports for itself.
    context: Any = get_context("forkserver" if "forkserver" in get_all_start_methods() else "spawn")
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


def _help(work: Callable[[], Any]) -> None:
    """Do the work; stop where the process that wanted it ends, however it does."""

    def stop() -> None:
        parent = parent_process()
        assert parent is not None
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)  # which saves the state of the run

    Thread(target=stop, daemon=True).start()
    work()
