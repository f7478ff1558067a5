"""Tables that are damaged are refused by name, and written whole."""

import pandas as pd
import pytest

from reports.formatting import save_page, save_table
from reports.tables import ReportError, read_table


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe\x00",
        "a,b\né,1\n".encode("latin-1"),
        "a,b\n1,2\n".encode("utf-16"),
        b'a,b\n"1,2\n',
        b"a,b\n1,2,3\n4\n",
        b"a,b\n1,99999999999999999999999999\n",  # more digits than a number has
        b"a,b\n1,True\n2,3\n",
    ],
)
def test_a_file_that_is_no_table_is_refused(tmp_path, data):
    (tmp_path / "scores.csv").write_bytes(data)
    with pytest.raises(ReportError, match=r"scores\.csv"):
        read_table(tmp_path / "scores.csv", numbers=("b",))


@pytest.mark.parametrize(
    "save", [lambda path: save_table(pd.DataFrame({"a": ["\ud800"]}), path), lambda path: save_page(["\ud800"], path)]
)
def test_what_cannot_be_written_leaves_the_old_file(tmp_path, save):
    path = tmp_path / "old"
    path.write_text("old")
    with pytest.raises(UnicodeEncodeError):
        save(path)
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"old": "old"}
