"""Database targets: embedded PostgreSQL, PostgreSQL and Supabase."""
