"""VDSR (arXiv:1511.04587), reproduced, explained and ready to use.

The modules, in the order in which data flows through them::

    images -> resize -> degradation -> protocol -> model -> checkpoint -> data -> training
           -> evaluation -> resolve -> features -> figures -> widgets

``environment``, ``files``, ``parameters`` and ``records`` serve all of them; ``python -m vdsrlib`` is a thin
command line over the same functions that the notebooks call.
"""

__version__ = "0.1.0"
