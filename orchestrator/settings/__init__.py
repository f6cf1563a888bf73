"""What a workspace says in `orchestrate.toml`: its tables, and reading them."""
