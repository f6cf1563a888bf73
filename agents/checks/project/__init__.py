"""Checks of a repository by its own tools: tests, lint, build, packages, releases, servers."""
