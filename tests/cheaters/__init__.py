"""Plugins that cheat, one way each; a test writes them to files and runs them."""
