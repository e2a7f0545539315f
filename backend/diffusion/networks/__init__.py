"""The networks: what they are told, how they see across the seam, how they step."""
