"""Training clips out of real panorama videos: cut, checked, written down, and read again."""
