"""Objects that threads of a runtime serve, in processes that fork."""

import ctypes
import os
from collections.abc import Callable
from threading import Lock
from typing import Generic, TypeVar
from weakref import WeakSet

Made = TypeVar("Made")


class PerProcess(Generic[Made]):
    """An object with threads of its own, made when it is first used, and anew in a forked process.

    A forked process has the object without its threads. Whoever uses or frees it waits for them for ever, so
    that it is neither used there nor freed.

    Args:
        make: makes the object.

    >>> core = PerProcess(object)
    >>> core() is core()
    True
    """

    def __init__(self, make: Callable[[], Made]) -> None:
        self._make = make
        self._made: list[Made] = []
        self._making = Lock()
        _known.add(self)

    def __call__(self) -> Made:
        """Return the object of this process."""
        with self._making:
            if not self._made:
                self._made.append(self._make())
            return self._made[0]

    def forget(self) -> None:
        """Make the object anew where it is used again, and never free this one."""
        for made in self._made:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(made))
        self._made, self._making = [], Lock()


_known: WeakSet[PerProcess] = WeakSet()


def _forget_all() -> None:
    for each in list(_known):
        each.forget()


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_forget_all)
