"""Runs agents as child processes."""
