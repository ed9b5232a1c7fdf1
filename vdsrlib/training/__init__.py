"""Recipes, patches, optimizers and the training loop."""

from vdsrlib.utils.extras import need

need("tensorboard", "train")
