"""Files: pictures, points, videos and what they say of themselves."""
