"""The geometry pass and the render engine."""
