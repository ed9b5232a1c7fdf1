"""``python -m vdsrlib`` is the command ``vdsr``."""

import signal
import sys


def run() -> int:
    """Run the command. Ctrl-C while it is imported ends the program without a traceback."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not where it is ignored
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from vdsrlib.cli.app import run

    return run()


if __name__ == "__main__":
    sys.exit(run())
