"""Clinical trials from a public registry."""
