"""The JavaScript that a page embeds: Vega-Lite from vl-convert, DataTables from itables; nothing is fetched."""

from functools import cache
from importlib.resources import files

from reports.html.packing import compress

_EXPORTS = "window.vegaEmbed = vegaEmbed; window.vega = vega;"


@cache
def vega() -> str:
    """Return a module that sets `vegaEmbed` and `vega` on the window, compressed by `packing.compress`."""
    import vl_convert  # starts a JavaScript engine

    return compress(vl_convert.javascript_bundle(_EXPORTS).encode())


@cache
def data_tables() -> str:
    """Return a module that exports DataTables and jQuery, compressed."""
    return compress(files("itables").joinpath("html", "dt_bundle.js").read_bytes())


@cache
def data_tables_style() -> str:
    """Return the style sheet of DataTables."""
    return files("itables").joinpath("html", "dt_bundle.css").read_text(encoding="utf-8")
