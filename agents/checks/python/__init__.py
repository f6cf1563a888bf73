"""Checks of Python modules."""
