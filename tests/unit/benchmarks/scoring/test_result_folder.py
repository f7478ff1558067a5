"""Tables of results in memory."""

from __future__ import annotations

import pandas as pd

from benchmarks.scoring.result_folder import compact, join


def test_compact_tables_are_joined_as_pandas_joins_text():
    first = pd.DataFrame({"model": ["b", "a"], "reason": ["", ""], "seed": [0, 1], "dose": [1.5, None]})
    second = pd.DataFrame({"model": ["c", "a"], "reason": ["died", ""], "seed": [0, 0], "dose": [None, None]})
    second["dose"] = second["dose"].astype(float)
    joined = join([compact(first), compact(second)])
    assert all(joined[name].dtype == "category" for name in ("model", "reason"))
    text = joined.astype({"model": object, "reason": object})
    pd.testing.assert_frame_equal(text, pd.concat([first, second], ignore_index=True))
