"""Poses and dense geometry from captures. Its modules import numba, scipy, pycolmap or torch only where they compute."""
