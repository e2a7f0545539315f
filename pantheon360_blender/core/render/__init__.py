"""From points to equirectangular frames."""
