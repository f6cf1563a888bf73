"""What changed in a workspace between two moments, as git or the file system shows it."""
