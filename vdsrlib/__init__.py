"""VDSR (arXiv:1511.04587), reproduced, explained and ready to use."""

__version__ = "0.1.0"
