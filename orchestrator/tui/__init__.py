"""The board at a terminal."""
