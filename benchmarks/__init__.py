"""The harness: data → split → fit → predict → store → score → report."""
