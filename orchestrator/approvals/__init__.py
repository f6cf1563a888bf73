"""Approval requests, answers and effects."""
