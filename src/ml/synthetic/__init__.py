"""Synthetic commercial data with known causal effects: generators, validators and their schema."""
