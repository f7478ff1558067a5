"""The JavaScript that a page embeds: Vega-Lite from vl-convert, DataTables from itables; nothing is fetched."""

import gzip
import os
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from tempfile import NamedTemporaryFile

from reports.html.packing import as_text, compress

_EXPORTS = "window.vegaEmbed = vegaEmbed; window.vega = vega;"


@cache
def vega() -> str:
    """Return a module that sets `vegaEmbed` and `vega` on the window, gzip as base64.

    vl-convert takes more than a second to bundle it, so it is kept in the cache folder, once for each version.
    """
    kept = _cache_dir() / f"vega-{version('vl-convert-python')}.js.gz"
    with suppress(OSError, EOFError):
        packed = kept.read_bytes()
        gzip.decompress(packed)  # raises where the file is damaged
        return as_text(packed)
    import vl_convert  # starts a JavaScript engine

    packed = compress(vl_convert.javascript_bundle(_EXPORTS).encode())
    with suppress(OSError):  # a cache that cannot be written is no failure
        kept.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=kept.parent, delete=False) as file:
            file.write(packed)
        Path(file.name).replace(kept)
    return as_text(packed)


@cache
def data_tables() -> str:
    """Return a module that exports DataTables as its default, gzip as base64."""
    return as_text(compress(files("itables").joinpath("html", "dt_bundle.js").read_bytes()))


@cache
def data_tables_style() -> str:
    """Return the style sheet of DataTables."""
    return files("itables").joinpath("html", "dt_bundle.css").read_text(encoding="utf-8")


def _cache_dir() -> Path:
    """Folder that downloads go to, as well; `CYCSEQ_CACHE` moves it."""
    import pooch  # slow to import

    return Path(os.environ.get("CYCSEQ_CACHE") or pooch.os_cache("cycseq-bench")).absolute()
