"""Helpers that every room uses: atomic files, hashing, parsing, devices, processes, signals."""
