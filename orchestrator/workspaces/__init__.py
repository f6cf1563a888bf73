"""Checkouts of their own for families with coding agents, and their landing (DESIGN 11)."""
