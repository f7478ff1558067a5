"""The regression gate: two runs compared, condition by condition."""
