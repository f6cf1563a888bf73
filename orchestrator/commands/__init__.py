"""Commands that prove statements: what they run, where a repository has them, USER's leave."""
