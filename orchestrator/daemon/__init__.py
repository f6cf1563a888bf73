"""Watches the board and advances families."""
