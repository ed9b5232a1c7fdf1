"""Recipes, patches, optimizers and the training loop."""
