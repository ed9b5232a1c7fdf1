"""Say which image sets a folder holds, and what is wrong with a copy: ``vdsr data verify``.

Usage: python data_scripts/verify.py [DIR] [--scales 2_3_4]   (default: the variable VDSR_DATA)
"""

import sys

from vdsrlib.cli.app import run

if __name__ == "__main__":
    sys.exit(run(["data", "verify", *sys.argv[1:]]))
