"""A family on the board: its files, its open session, what blocks it."""
