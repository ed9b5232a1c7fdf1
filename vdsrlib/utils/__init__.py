"""Helpers of every room: atomic files, hashing, locks, logs, parsing, devices, processes, signals."""
