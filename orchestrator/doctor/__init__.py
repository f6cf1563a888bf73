"""Diagnoses the board and fixes it."""
