"""Fetch the image sets: ``vdsr data get``.

Usage: python data_scripts/get.py Set5 Set14 B100 Urban100 T91 BSD200 [--to DIR] [--from FILE_OR_DIR ...]
"""

import sys

from vdsrlib.cli.app import run

if __name__ == "__main__":
    sys.exit(run(["data", "get", *sys.argv[1:]]))
