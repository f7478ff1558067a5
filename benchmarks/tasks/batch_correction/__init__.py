"""Cells of several studies, replicates and lines made comparable (section 2.2 of the CycSeq paper).

names → approved symbols      genes.resolve, harmonise.harmonise
shared genes                  harmonise.intersect, harmonise.choose_genes
batches → ComBat              batches.label_batches, combat.fit, Combat.apply
what is left of the effects   effects.surviving_effects
in a run, fold by fold        fold.Integration  (`--integration technical`)
"""
