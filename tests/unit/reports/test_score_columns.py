"""The schema of scores.csv is that of its page and of the tables that a run writes."""

from __future__ import annotations

from pathlib import Path

import reports
from reports.score_columns import STATUSES, schema_page
from reports.tables import DECLINED, FAILED, LEFT_OUT, NOT_RUN

PAGE = Path(reports.__file__).parents[1] / "docs" / "scores-table.md"


def test_page_is_that_of_the_schema() -> None:
    assert PAGE.read_text(encoding="utf-8") == schema_page(), "make it again: make schema"


def test_groups_of_statuses_are_all_of_the_schema() -> None:
    own = {"ok", *DECLINED, *LEFT_OUT, NOT_RUN, *FAILED} - {"missing"}
    assert own == set(STATUSES)
