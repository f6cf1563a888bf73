"""The loop: decide, dispatch, prove, record, move."""
