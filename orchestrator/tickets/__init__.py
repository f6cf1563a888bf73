"""Tickets, ticket ids, the board and its index."""
