"""Notes on the data: what was left out, renamed or assumed, and what is not tested."""

from reports.formatting import bullets, plain_text
from reports.pages.page_sections import Section
from reports.stats.run_statistics import RunStatistics


def write(run: RunStatistics) -> str:
    """Write the notes that lie beside the tables."""
    return bullets(plain_text(note) for note in run.tables.notes)


SECTION = Section("Notes on the data", 0, write, per_task=False)
