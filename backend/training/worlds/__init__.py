"""Clips to learn from: procedural worlds, their captures and caches with the faults that caches have."""
