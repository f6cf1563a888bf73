"""Lint rules for workflows."""
