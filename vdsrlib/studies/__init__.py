"""The paper's experiments: grids of trainings, their results and verdicts."""
