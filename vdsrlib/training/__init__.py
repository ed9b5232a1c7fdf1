"""Recipes, patches, optimizers and the training loop."""

from vdsrlib.utils.extras import need

need("pydantic", "train")
