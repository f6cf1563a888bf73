"""Checks of TypeScript modules."""
