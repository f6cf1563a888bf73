"""Checks of SQL migrations and schemas."""
