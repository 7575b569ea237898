"""The documentation site: ``make docs`` builds it, and every warning is an error."""

import os
import re
import sys
from importlib.metadata import version as version_of
from importlib.util import find_spec
from pathlib import Path

from sphinx.pycode import ModuleAnalyzer

import eval
import gibbs
import stages

os.environ["PYTHONSAFEPATH"] = "1"  # The folder examples/ is no place to import from.

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
PACKAGES = (gibbs, stages, eval)

# A public name is known by the package that promises it; its source is in the module that holds it.
HOLDER: dict[tuple[str, str], str] = {}
for package in PACKAGES:
    for name in package.__all__:
        holder = getattr(getattr(package, name), "__module__", None) or ""
        if holder.startswith(package.__name__):
            HOLDER[package.__name__, name] = holder
            getattr(package, name).__module__ = package.__name__

# Public names that are neither functions nor classes, and the modules with their descriptions.
VALUES = {
    "gibbs.ACTIVATIONS": "gibbs.model.activations",
    "gibbs.SolverReport": "gibbs.solver.progress",
    "eval.COLLAPSE_DEFINITIONS": "eval.collapse.formulas",
}

project = "gibbsnet"
author = "The gibbsnet developers"
version = release = version_of("gibbsnet")

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
    "sphinx_click",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "_templates", "gallery/GALLERY_HEADER.rst"]
templates_path = ["_templates"]
highlight_language = "none"
smartquotes = False  # Two hyphens before an option stay two.
nitpicky = True
nitpick_ignore_regex = [
    # Other projects, and annotations whose names are known to their module alone.
    ("py:.*", r"(?!gibbs\.|stages\.|eval\.).*"),
    # What is not public has its docstring in the code alone.
    ("py:.*", r"(gibbs|stages|eval)\.\w+\..*"),
]

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

autosummary_generate = True
autodoc_typehints = "none"
autodoc_member_order = "bysource"
numpydoc_show_class_members = False

# MathJax comes from a package, so that formulas need no network: one file, without fonts.
MATHJAX = Path(next(iter(find_spec("mathjax").submodule_search_locations))) / "static" / "mathjax"
html_theme = "pydata_sphinx_theme"
html_title = "gibbsnet"
html_static_path = ["_static", str(MATHJAX / "es5" / "tex-svg.js")]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "header_links_before_dropdown": 7,
    "navbar_align": "left",
    "secondary_sidebar_items": ["page-toc"],
    "show_prev_next": False,
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_sidebars = {"start": [], "glossary": [], "changelog": []}
copyright = "The gibbsnet developers, BSD 3-clause"
mathjax_path = "tex-svg.js"

sphinx_gallery_conf = {
    "examples_dirs": str(HERE.parent / "examples"),
    "gallery_dirs": "gallery",
    "filename_pattern": r"\.py$",
    "backreferences_dir": "reference/generated/backreferences",
    "doc_module": tuple(package.__name__ for package in PACKAGES),
    "reference_url": {package.__name__: None for package in PACKAGES},
    "download_all_examples": False,
    "show_memory": False,
    "show_signature": False,
    "min_reported_time": 10_000,
    "abort_on_example_error": True,
    "plot_gallery": "True",
    "within_subsection_order": "gallery_order.FirstStepsFirst",
}

LITERAL = re.compile(r"(``.+?``|`[^`]+`|\$[^$]+\$)")
ROLE = re.compile(r"\{py:\w+\}`(?:~|[\w.]+ <)?([\w.]+)>?`")
LABEL = re.compile(r"^\(([\w-]+)\)=$")
TITLE = re.compile(r"^#+ (.+)$")


def equations_by_name(page: Path) -> dict[str, list[tuple[str, str]]]:
    """Label and title of every equation on the page, for each name that computes it."""
    found: dict[str, list[tuple[str, str]]] = {}
    label = title = ""
    for line in page.read_text(encoding="utf-8").splitlines():
        if match := LABEL.match(line):
            label = match[1]
        elif match := TITLE.match(line):
            title = match[1]
        for name in ROLE.findall(line):
            if label and (label, title) not in found.setdefault(name, []):
                found[name].append((label, title))
    return found


EQUATIONS = equations_by_name(HERE / "mathematics" / "equations.md")


def escape(line: str) -> str:
    """Bars and stars of a formula in plain text are no markup."""
    parts = LITERAL.split(line)
    parts[::2] = [re.sub(r"(?<!\\)\|", r"\\|", part) for part in parts[::2]]
    return "".join(parts)


def plain_text(app, what, name, obj, options, lines):
    """Keep plain-text formulas as they stand, and link each name to its equations."""
    if name in VALUES:
        documented = ModuleAnalyzer.for_module(VALUES[name]).find_attr_docs()
        lines[:] = documented["", name.split(".")[1]]
    inside = -1
    for i, line in enumerate(lines):
        indent = len(line) - len(line.lstrip())
        if line.strip() and indent <= inside:
            inside = -1
        if line.lstrip().startswith((".. math::", ".. code")) or line.rstrip().endswith("::"):
            inside = indent
        elif inside < 0 and not line.lstrip().startswith((">>>", "...")):
            lines[i] = escape(line)
    if name in EQUATIONS:
        links = ", ".join(f":ref:`{title} <{label}>`" for label, title in EQUATIONS[name])
        lines += ["", ".. admonition:: In the mathematics", "", f"   {links}", ""]


def module_of(app, module, attribute):
    """Module that holds the source of a public name or of its member; None for other names."""
    return HOLDER.get((module, attribute.split(".")[0]))


def setup(app):
    """Register what is ours."""
    app.connect("viewcode-follow-imported", module_of)
    app.connect("autodoc-process-docstring", plain_text, priority=900)
