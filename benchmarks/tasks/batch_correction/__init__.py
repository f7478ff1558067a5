"""Batch effects removed by ComBat (section 2.2 of the CycSeq paper), with parameters from the training cells of each fold."""
