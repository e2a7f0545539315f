"""Measures of a painted panorama video. Each file is one measure, and its docstring names its source."""
