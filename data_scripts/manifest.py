"""Make the manifest of the image sets anew: ``vdsr data manifest``.

Usage: python data_scripts/manifest.py DIR   (DIR holds T91, BSD200, Set5, Set14, B100, Urban100, …)
"""

import sys

from vdsrlib.cli.app import run

if __name__ == "__main__":
    sys.exit(run(["data", "manifest", *sys.argv[1:]]))
