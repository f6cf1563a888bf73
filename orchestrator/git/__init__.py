"""The git repository around the board."""
