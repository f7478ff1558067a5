"""Counterparts of every table and figure of section 3 of the CycSeq paper, from result tables alone."""
