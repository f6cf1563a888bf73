"""Reads a workflow's markdown into stages."""
