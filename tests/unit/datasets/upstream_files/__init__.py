"""Small files in exactly the form each study publishes, for the tests of the readers."""

from tests.unit.datasets.upstream_files.hdf5 import modern, replogle, write_replogle
from tests.unit.datasets.upstream_files.tables import kinker, sciplex3, write_sciplex3
from tests.unit.datasets.upstream_files.tenx import LIBRARY, RUNS, cropseq, jost, norman
from tests.unit.datasets.upstream_files.writing import Study, barcodes, cut, draw, matrix_market, write

__all__ = [
    "LIBRARY",
    "RUNS",
    "Study",
    "barcodes",
    "cropseq",
    "cut",
    "draw",
    "jost",
    "kinker",
    "matrix_market",
    "modern",
    "norman",
    "replogle",
    "sciplex3",
    "write",
    "write_replogle",
    "write_sciplex3",
]
