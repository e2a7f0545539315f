"""Poses and dense geometry from captures; numba, scipy, pycolmap or torch are imported only where they compute."""
