"""Jobs that go on while the artist works: whose turn it is, and how their results reach the scene."""
