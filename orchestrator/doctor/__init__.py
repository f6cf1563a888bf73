"""`orchestrate doctor`: finds problems on a board and fixes them."""
