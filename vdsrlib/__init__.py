"""VDSR (arXiv:1511.04587), reproduced, explained and ready to use.

The names below are imported when they are first used, so that ``import vdsrlib`` alone loads no PyTorch.

>>> import numpy as np
>>> import vdsrlib
>>> net = vdsrlib.load("vdsr", device="cpu")
>>> vdsrlib.upscale(net, np.zeros((8, 12, 3), np.uint8), scale=2.5).shape
(20, 30, 3)
>>> vdsrlib.get_recipe("best", steps=1000).steps
1000
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
