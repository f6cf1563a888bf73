"""SQL migrations: read by PostgreSQL's own parser, made re-runnable, proven by running."""
