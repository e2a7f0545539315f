"""What is trained, what it is told, and what it is asked for."""
