"""Agents' work on other machines: a queue in a database, workers, and git between them."""
