"""Which of several processes this is, as ``torchrun`` says it in the environment."""

import os

from vdsrlib.errors import InputError


def process_count() -> int:
    """Count the processes that were started together: WORLD_SIZE, or 1."""
    return max(_number("WORLD_SIZE", 1), 1)


def process_rank() -> int:
    """Return which of them this is, from 0 on: RANK; 0 where there is one process."""
    return _number("RANK", 0) if process_count() > 1 else 0


def _number(variable: str, default: int) -> int:
    text = os.environ.get(variable, "").strip() or str(default)
    if not text.isdecimal():
        raise InputError(f"the variable {variable} must be a whole number, as torchrun sets it, got {text!r}")
    return int(text)
