"""CSV seed data: files, table schemas, verified facts and citations."""
