"""The loops that learn, and all that lets them be stopped, gone on with and looked at."""
