"""The JavaScript that a page embeds: Vega-Lite from vl-convert, DataTables from itables; nothing is fetched."""

import gzip
import os
import zlib
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from tempfile import NamedTemporaryFile

from reports.html.packing import as_text, compress

_EXPORTS = "window.vegaEmbed = vegaEmbed; window.vega = vega;"


@cache
def vega() -> str:
    """Return a module that sets `vegaEmbed` and `vega` on the window, gzip as base64."""

    def bundle() -> bytes:
        import vl_convert  # starts a JavaScript engine

        return str(vl_convert.javascript_bundle(_EXPORTS)).encode()

    return _kept(f"vega-{version('vl-convert-python')}.js.gz", bundle)


@cache
def data_tables() -> str:
    """Return a module that exports DataTables as its default, gzip as base64."""
    return _kept(f"tables-{version('itables')}.js.gz", (_tables_folder() / "dt_bundle.js").read_bytes)


def _kept(name: str, make: Callable[[], bytes]) -> str:
    """Return what `make` returns, packed; it is kept under `name` in the cache folder, since bundling takes a second."""
    kept = _cache_dir() / name
    with suppress(OSError, EOFError, zlib.error):
        packed = kept.read_bytes()
        gzip.decompress(packed)  # raises where the file is damaged
        return as_text(packed)
    packed = compress(make())
    with suppress(OSError):  # a cache that cannot be written is no failure
        kept.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=kept.parent, delete=False) as file:
            file.write(packed)
        Path(file.name).replace(kept)
    return as_text(packed)


@cache
def data_tables_style() -> str:
    """Return the style sheet of DataTables."""
    return (_tables_folder() / "dt_bundle.css").read_text(encoding="utf-8")


def _tables_folder() -> Path:
    """Folder of DataTables; `itables` itself is slow to import."""
    found = find_spec("itables")
    return Path(str(found and found.origin)).parent / "html"


def _cache_dir() -> Path:
    """Folder that downloads go to, as well; `CYCSEQ_CACHE` moves it."""
    import pooch  # slow to import

    return Path(os.environ.get("CYCSEQ_CACHE") or pooch.os_cache("cycseq-bench")).absolute()
