"""Room layout from one panorama, without a model: ground, walls, and a ceiling or the sky."""
