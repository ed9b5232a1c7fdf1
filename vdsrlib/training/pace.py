"""How fast a run is, and how long it takes yet."""

import time

from vdsrlib.training.recipe import Recipe


class Pace:
    """Seconds a step, from the step at which it is made."""

    def __init__(self, step: int) -> None:
        self.first, self.started = step, time.perf_counter()

    def report(self, recipe: Recipe, row: dict[str, float]) -> str:
        """Format a row of the history as a line of progress."""
        step = int(row["step"])
        seconds = (time.perf_counter() - self.started) / (step - self.first)
        minutes = seconds * (recipe.steps - step) / 60
        return (
            f"step {step}/{recipe.steps}  loss {row['loss']:.3g}  rate {row['learning_rate']:.3g}  "
            f"{recipe.batch_size / seconds:.0f} patches/s  {minutes:.0f} min left"
        )
