"""Atomic file operations, line merge, stored versions and the append-only history."""
