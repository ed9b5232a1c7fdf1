"""Charts, mosaics and widgets for notebooks."""
