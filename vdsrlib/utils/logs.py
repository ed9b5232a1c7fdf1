"""Progress lines: the logger of the package, and a handler that prints what it is told.

>>> print_log()
>>> logger.info("step 100/400")
step 100/400
>>> with mute_log():
...     logger.info("step 200/400")
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

logger = logging.getLogger("vdsrlib")


class _PrintHandler(logging.Handler):
    """Print bare messages to whatever sys.stdout is at the time; errors are those of print."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print the message."""
        print(self.format(record))


def print_log() -> None:
    """Print messages of level INFO and above from now on. Calling it again changes nothing."""
    logger.setLevel(logging.INFO)
    if not any(isinstance(handler, _PrintHandler) for handler in logger.handlers):
        logger.addHandler(_PrintHandler())


@contextmanager
def mute_log() -> Iterator[None]:
    """Drop messages of level INFO within the block: those of a run inside a run, or of a second process."""
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)
