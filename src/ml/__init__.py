"""Synthetic data for machine-learning agents, the agents, and their HTTP interface."""
