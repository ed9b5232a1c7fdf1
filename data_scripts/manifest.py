"""Make the manifest of the image sets anew: their identity by pixels.

Usage: python data_scripts/manifest.py DIR   (DIR holds T91, BSD200, Set5, Set14, B100, Urban100)
"""

import sys

from vdsrlib.datasets.manifest import main

if __name__ == "__main__":
    sys.exit(main())
