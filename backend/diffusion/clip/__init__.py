"""One clip: passes, steps, fusion."""
