"""TensorBoard's event files."""

import itertools
import os
import socket
import time
from pathlib import Path
from typing import Any

import numpy as np

from vdsrlib.errors import explain_write_error
from vdsrlib.utils.extras import need

_numbers = itertools.count()  # of the files of this process


class EventLog:
    """Curves and pictures of a run, for TensorBoard.

    PyTorch's SummaryWriter writes from a thread of its own, which prints a traceback where the disk is full.
    This one writes when it is told to.

    Args:
        folder: where the file is made.
        purge_from: what earlier files of the folder hold from this step on is void; None leaves all.

    Raises:
        InputError: TensorBoard is not installed.
        WriteError: the folder cannot be written, or the disk is full; every method may raise it.
    """

    def __init__(self, folder: str | Path, purge_from: int | None) -> None:
        self.folder = Path(folder)
        self.summary = need("torch.utils.tensorboard.summary", "train")
        self.events = need("tensorboard.compat.proto.event_pb2", "train")
        writer = need("tensorboard.summary.writer.record_writer", "train").RecordWriter
        name = f"events.out.tfevents.{time.time():010.0f}.{socket.gethostname()}.{os.getpid()}"
        with explain_write_error(f"logs to {folder}"):
            self.folder.mkdir(parents=True, exist_ok=True)
            self.writer = writer((self.folder / f"{name}.{next(_numbers)}").open("wb"))
        self._add(file_version="brain.Event:2")
        if purge_from is not None:
            start = self.events.SessionLog(status=self.events.SessionLog.START)
            self._add(step=purge_from, session_log=start)
        self.flush()

    def scalar(self, name: str, value: float, step: int) -> None:
        """Add a point to a curve."""
        self._add(step=step, summary=self.summary.scalar(name, value))

    def image(self, name: str, image: np.ndarray, step: int) -> None:
        """Add an image, uint8 H x W x 3."""
        self._add(step=step, summary=self.summary.image(name, image, dataformats="HWC"))

    def flush(self) -> None:
        """Hand what was added to the operating system, so that TensorBoard sees it."""
        with explain_write_error(f"logs to {self.folder}"):
            self.writer.flush()

    def close(self) -> None:
        """Close the file."""
        with explain_write_error(f"logs to {self.folder}"):
            self.writer.close()

    def _add(self, **content: Any) -> None:
        event = self.events.Event(wall_time=time.time(), **content)
        with explain_write_error(f"logs to {self.folder}"):
            self.writer.write(event.SerializeToString())
