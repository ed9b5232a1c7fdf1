"""Charts, mosaics and widgets for notebooks."""

from vdsrlib.utils.extras import need

need("matplotlib", "figures")
