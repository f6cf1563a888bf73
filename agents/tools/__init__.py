"""The workspace's own tools: its Python, its Node packages, and what of them is not installed."""
