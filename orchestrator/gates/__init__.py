"""Checks, the binding of statements to them, and receipts."""
