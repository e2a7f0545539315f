"""Poses of captures without a model."""
