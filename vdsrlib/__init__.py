"""VDSR (arXiv:1511.04587), reproduced, explained and ready to use.

The modules, each imported only by those that follow::

    tiff -> picture -> images -> resize -> degradation -> protocol -> model -> checkpoint -> export
            -> engine -> tiling -> evaluation -> data -> recipe -> optimizer -> training
            -> findings -> studies -> resolve -> features -> figures -> widgets -> enlarger

``capture``, ``distributed``, ``environment``, ``files``, ``parameters`` and ``records`` serve all of them;
``inspection`` looks at folders of images, and ``doctor`` at the installation; ``python -m vdsrlib`` is a thin
command line over the same functions that the notebooks call.
"""

__version__ = "0.1.0"
