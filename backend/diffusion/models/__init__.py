"""Models as data: stores, folders, cards' checks, conversion and loading."""
