"""The extension itself: preferences, jobs, the backend's process, differences between Blenders."""
