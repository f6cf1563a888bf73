"""Checks of what files say: which files a statement means, what is code in them, what they hold."""
