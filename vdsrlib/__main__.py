"""``python -m vdsrlib`` is the command ``vdsr``."""

import sys

from vdsrlib.cli.app import run

if __name__ == "__main__":
    sys.exit(run())
