"""Lossless frontmatter and markdown parsing and editing."""
