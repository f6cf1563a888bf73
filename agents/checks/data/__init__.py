"""Checks of CSV files, data frames and table rows."""
