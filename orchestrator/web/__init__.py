"""The board in the browser: pages that are readable without script, guarded by default."""
