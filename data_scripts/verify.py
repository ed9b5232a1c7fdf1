"""Say which image sets a folder holds, told by their pixels, and what is wrong with a copy.

Usage: python data_scripts/verify.py [DIR] [--scales 2_3_4]   (default: the variable VDSR_DATA)
"""

import sys

from vdsrlib.datasets.verify import main

if __name__ == "__main__":
    sys.exit(main())
