"""What both processes agree on of jobs: folders, settings, models, messages, child processes."""
