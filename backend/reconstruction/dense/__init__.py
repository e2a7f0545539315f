"""Range maps of posed captures without a model."""
