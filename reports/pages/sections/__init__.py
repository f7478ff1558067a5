"""Sections of the leaderboard page, one file each: see `reports.pages.page_sections.Section`."""
