"""Settings of the documentation site, and the pages that are made from the code: metrics and command line.

`make docs` builds the site from the Markdown pages of this folder. Pages that are elsewhere, so that they are found on their
own (README.md, CONTRIBUTING.md, cycseq/README.md, …), are included by a page of this folder; `INCLUDED` names them.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.addnodes import download_reference, pending_xref
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator

DOCS = Path(__file__).parent
ROOT = DOCS.parent
GENERATED = DOCS / "generated"
sys.path.insert(0, str(ROOT))
# kernels of notebooks import this checkout too, and use one thread, as tests do
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
os.environ.setdefault("OMP_NUM_THREADS", "1")

INCLUDED = {
    "start": "README.md",
    "contributing": "CONTRIBUTING.md",
    "changelog": "CHANGELOG.md",
    "cycseq": "cycseq/README.md",
    "cropseq-simulated": "datasets/cropseq_simulated/README.md",
}
"""Page of the site → the file that it includes."""
ELSEWHERE = {"benchmarks/contract.py": "api"}
"""Other files that pages link to → the page of the site with their content."""

project = "cycseq-bench"
author = "the cycseq-bench authors"
copyright = f"2026, {author}"
extensions = [
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_copybutton",
    "sphinx_design",
]
root_doc = "index"
exclude_patterns = ["generated/metrics-table.md", "**/.ipynb_checkpoints"]
default_role = "code"
nitpicky = True
nitpick_ignore_regex = [("py:.*", r".*")]  # types of other packages; without a network their inventories cannot be read

myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_dmath_allow_labels = False
myst_heading_anchors = 4
nb_execution_mode = "force"
nb_output_stderr = "remove-warn"
nb_execution_timeout = 120
nb_merge_streams = True

autosummary_generate = True
autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
numpydoc_show_class_members = False

html_theme = "sphinx_book_theme"
html_title = project
html_static_path = ["_static"]
html_theme_options = {"show_toc_level": 2, "home_page_in_toc": True, "navbar_persistent": []}
html_css_files = ["site.css"]
html_math_renderer = "mathml"
html_copy_source = False
linkcheck_timeout = 20


def metrics_page() -> str:
    """List all metrics of the registry by family, with the docstring of each function."""
    from benchmarks.scoring.metrics.all_metrics import METRICS

    lines: list[str] = []
    for family in dict.fromkeys(metric.family for metric in METRICS):
        lines += [
            "",
            f"### {family.capitalize()}",
            "",
            "| metric | best | ranked | what it is |",
            "| --- | --- | --- | --- |",
        ]
        for metric in (m for m in METRICS if m.family == family):
            best = "" if metric.best is None else f"{metric.best:g}"
            lines.append(f"| `{metric.name}` | {best} | {'yes' if metric.scored else 'no'} | {cell(metric.summary)} |")
    return "\n".join(lines) + "\n"


def cell(text: str) -> str:
    """Escape text for a cell of a Markdown table."""
    return text.replace("|", "\\|").replace("*", "\\*")


def commands_page() -> str:
    """List all commands with their options, as typer's own tool does."""
    import typer
    from typer.cli import get_docs_for_click
    from typer.main import get_command

    from benchmarks.cli.app import app

    command = get_command(app)
    page = get_docs_for_click(obj=command, ctx=typer.Context(command), name="cycseq-bench", title="Command line")
    head, *commands = page.replace("```console", "```text").split("\n## ")
    return "\n## ".join([head.partition("**Commands**")[0], *commands])  # its list cuts summaries short


def write_generated_pages(app: Sphinx) -> None:
    """Write the pages that are made from the code, before Sphinx looks for pages."""
    GENERATED.mkdir(exist_ok=True)
    for name, text in (("command-line", commands_page()), ("metrics-table", metrics_page())):
        path = GENERATED / f"{name}.md"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def link_within_site(app: Sphinx, doctree: nodes.document) -> None:
    """Point links to files outside this folder, and all links of included files, at pages of the site."""
    page = app.env.docname
    folder = (ROOT / INCLUDED[page]).parent if page in INCLUDED else (DOCS / page).parent
    pages = {ROOT / path: name for name, path in (*INCLUDED.items(), *((n, p) for p, n in ELSEWHERE.items()))}
    for link in (*doctree.findall(pending_xref), *doctree.findall(download_reference)):
        path, _, anchor = str(link["reftarget"]).partition("#")
        if link.get("reftype") != "myst" or not path:
            continue
        if link.get("refdomain") == "doc":  # a Markdown file; one outside this folder has its whole path
            path, anchor = f"{path}.md", link.get("reftargetid") or ""
            if not Path(path).is_absolute():
                continue
        target = Path(os.path.normpath(folder / path))
        name = pages.get(target) or app.env.path2doc(str(target))
        if name in app.env.found_docs:
            new = pending_xref("", *link.children, reftype="myst", refdomain="doc", refexplicit=True, refdoc=page)
            new["reftarget"], new["reftargetid"] = name, anchor or None
            link.replace_self(new)


def inline_formula(page: HTML5Translator, node: nodes.math) -> None:
    """Write a formula as MathML, which browsers show without a script."""
    page.body.append(convert(node.astext()))
    raise nodes.SkipNode


def block_formula(page: HTML5Translator, node: nodes.math_block) -> None:
    """Write a formula on lines of its own."""
    page.body.append(f'<div class="formula">{convert(node.astext(), display="block")}</div>')
    raise nodes.SkipNode


def setup(app: Sphinx) -> None:
    """Connect the functions of this file."""
    app.add_html_math_renderer("mathml", (inline_formula, None), (block_formula, None))
    app.connect("builder-inited", write_generated_pages, priority=1)
    app.connect("doctree-read", link_within_site, priority=1)
