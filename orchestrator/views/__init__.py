"""What every face shows: which tickets, how to search, count and draw them. Only reads."""
