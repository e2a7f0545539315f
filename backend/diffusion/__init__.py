"""The diffusion painter: panoramic Stable Video Diffusion conditioned on the geometry pass.

torch, diffusers and transformers are imported by the modules that compute with them, and by nothing that tells what the
painter is or needs.
"""
