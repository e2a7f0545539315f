"""What formats of videos share, and Matroska."""
