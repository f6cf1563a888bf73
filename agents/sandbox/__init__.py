"""A laboratory for seed scripts: they run unchanged, against a registry and a database of its own.

`harness` starts the scripts, `server` is the process that serves them, `client` is what checks use.
"""
