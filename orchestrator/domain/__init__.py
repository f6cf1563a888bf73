"""Frozen values and pure rules: states, the family record, the plan, the state machine."""
