"""Fetch the image sets, prove them by their pixels, and put each into a folder of its own.

Usage: python data_scripts/get.py Set5 Set14 B100 Urban100 T91 BSD200 [--to DIR] [--from FILE_OR_DIR ...]
"""

import signal
import sys

from vdsrlib.datasets.fetch import main

if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a scheduler's stop is a Ctrl-C
    sys.exit(main())
