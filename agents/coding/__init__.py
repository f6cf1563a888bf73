"""Coding agents: the command lines of others that do a stage's work, one adapter each.

An adapter says how its program is started, how a prompt goes in and what its output means.
`CodingAgent` does the rest: one call of `work` is one turn.
"""
