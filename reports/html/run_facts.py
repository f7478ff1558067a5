"""What a run's manifest says of it: what was asked, with what code and machine; any of it may be missing."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reports.formatting import visible


@dataclass(frozen=True)
class RunFacts:
    """A run's `manifest.json`; of a folder without one, or with another's, every fact is empty."""

    content: Mapping[str, Any] = field(default_factory=dict)

    def get(self, *path: str) -> Any:
        """Return what lies at a path of names; None where there is nothing."""
        found: Any = self.content
        for name in path:
            found = found.get(name) if isinstance(found, Mapping) else None
        return found

    def text(self, *path: str) -> str:
        """Return what lies at a path as text; "" where there is nothing."""
        found = self.get(*path)
        if found is None or found == "" or found == {} or found == []:
            return ""
        if isinstance(found, str):
            return visible(found)
        if isinstance(found, int | float):
            return f"{found:,}"
        return visible(json.dumps(found, ensure_ascii=False))

    def table(self, *path: str) -> dict[str, str]:
        """Return name → text of everything at a path; empty where there is no mapping."""
        found = self.get(*path)
        names = [str(name) for name in found] if isinstance(found, Mapping) else []
        return {visible(name): self.text(*path, name) for name in names}

    @property
    def whole(self) -> str:
        """The manifest as indented JSON."""
        text = json.dumps(self.content, indent=1, ensure_ascii=False) if self.content else ""
        return "\n".join(map(visible, text.splitlines()))


def read_facts(folder: Path) -> RunFacts:
    """Read the manifest of a results folder."""
    try:
        found = json.loads((folder / "manifest.json").read_bytes())
    except (OSError, ValueError, RecursionError):
        return RunFacts()
    return RunFacts(found if isinstance(found, Mapping) else {})
