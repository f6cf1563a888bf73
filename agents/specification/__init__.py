"""What workflows and tickets specify: files, tables, functions. Read by makers and judges."""
