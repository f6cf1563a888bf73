"""A local stand-in for PostgREST."""
