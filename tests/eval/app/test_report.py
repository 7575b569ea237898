import json
import math
import re
from dataclasses import replace
from html import escape
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from support.browser import screenshot, visit
from support.seeds import numpy_generator

from eval.app.cli import main
from eval.app.report.figures import FIGURES, figures_of
from eval.app.report.parameters import parameters_used
from eval.app.report.report import _animation, command_line
from eval.app.shared.plots import class_mean_axes
from eval.app.shared.run_folder import read_run
from eval.collapse.formulas import COLLAPSE_DEFINITIONS

TITLE = "Collapse of the features"
ARTEFACTS = Path(__file__).parents[3] / "build" / "artefacts"
# The options of `make demo`, with fewer steps and test samples.
DEMO = ["--data", "separable", "--activation", "sigmoid", "--gamma", "3", "--controls"]
FAST = ["--steps", "200", "--n-test", "1000", "--quiet"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("demo") / "run"
    result = CliRunner().invoke(main, ["run", *DEMO, *FAST, "--out", str(out)])
    assert result.exit_code == 0, result.output
    return out


class Elements(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def of(self, tag):
        return [attributes for name, attributes in self.found if name == tag]


def test_report_is_one_file_that_points_nowhere(run):
    text = (run / "report.html").read_text()
    page = Elements(text)
    for _, attributes in page.found:
        for name in ("src", "href", "srcset", "action", "data"):
            assert attributes.get(name, "data:").startswith("data:")
    assert "http:" not in text
    assert "https:" not in text
    assert "@import" not in text
    images = page.of("img")
    assert len(images) == len(figures_of(read_run(run)))
    assert all(len(image["alt"]) > 40 for image in images)
    assert page.of("html")[0]["lang"] == "en"
    assert "width=device-width" in page.of("meta")[1]["content"]


def test_report_holds_table_assumptions_and_the_way_to_repeat_it(run):
    text = (run / "report.html").read_text()
    for words in (
        "two-stage network",
        "control: shuffled labels",
        "Assumption 2",
        "not met</span>: gamma is 3, not 1",
        "gibbsnet run --data separable --seed 0",
        "Confusion matrix of 1000 test samples",
    ):
        assert words in text
    assert "Partial run" not in text


def test_the_animation_tells_the_nc1_of_stage_one(run):
    stored = read_run(run)
    frames = json.loads(_animation(stored))
    one = stored.history[stored.history["stage"] == "one"].set_index("step")["nc1"]
    assert frames["steps"][0] == 0
    assert frames["nc1"][0] == one[0] > 1.5 * frames["nc1"][-1]


def test_command_of_the_report_repeats_the_run(run, tmp_path):
    command = command_line(read_run(run).config)
    words = [*command.split()[1:], "--quiet", "--out", str(tmp_path / "again")]
    assert CliRunner().invoke(main, words).exit_code == 0
    first, again = read_run(run), read_run(tmp_path / "again")
    np.testing.assert_array_equal(first.history["loss"], again.history["loss"])
    np.testing.assert_array_equal(first.arrays["confusion"], again.arrays["confusion"])
    ours = [stored.scores["control: shuffled labels"][0].test_error for stored in (first, again)]
    assert ours[0] == ours[1]


def test_figures_are_pictures_and_the_folder_is_small(run):
    for kind in figures_of(read_run(run)):
        with Image.open(run / "figures" / f"{kind.name}.png") as image:
            assert min(image.size) > 200
        assert (run / "figures" / f"{kind.name}.svg").read_text().count("<path") > 3
    size = sum(path.stat().st_size for path in run.rglob("*") if path.is_file())
    assert size < 10 * 2**20


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")  # of the MLP beside ours
def test_class_names_cannot_break_out_of_the_page(tmp_path):
    rows = [f"{k % 7},{k % 5},{'</script><b>x' if k % 2 else 'plain'}" for k in range(40)]
    (tmp_path / "d.csv").write_text("a,b,label\n" + "\n".join(rows))
    out = tmp_path / "run"
    words = ["run", "--data", tmp_path / "d.csv", "--steps", 5, "--neurons", 20, "--out", out]
    result = CliRunner().invoke(main, [*map(str, words), "--quiet"])
    assert result.exit_code == 0, result.output
    text = (out / "report.html").read_text()
    assert "</script><b>" not in text
    assert text.count("</script>") == 2


def test_plane_keeps_what_separates_two_means():
    rng = numpy_generator()
    labels = np.repeat([0, 1], 20)
    features = rng.normal(scale=1e-3, size=(40, 6))
    features[:, 4] += 5.0 * labels
    axes = class_mean_axes(features, labels)
    np.testing.assert_allclose(axes.T @ axes, np.eye(2), atol=1e-12)
    means = [(features @ axes)[labels == k].mean(axis=0) for k in (0, 1)]
    assert np.linalg.norm(means[1] - means[0]) == pytest.approx(5.0, abs=1e-2)


def cells(text, heading):
    """The rows of the first table below a heading, as lists of texts."""
    table = text.split(f"<h2>{heading}</h2>")[1].split("</table>")[0]
    rows = re.findall(r"<tr>(.*?)</tr>", table, re.DOTALL)
    return [
        [re.sub(r"<[^>]*>", "", cell) for cell in re.findall(r"<t[hd].*?</t[hd]>", row)]
        for row in rows
    ]


def test_the_report_tells_the_parameters_that_were_used(run):
    stored = read_run(run)
    found = dict(cells((run / "report.html").read_text(), "To repeat it")[1:])
    assert set(found) == set(stored.metrics["parameters"])
    assert not {"auto", "None"} & set(found.values())
    sizes = stored.history.loc[stored.history["stage"] == "one", "step_size"]
    assert found["step_size"] == f"auto: {sizes.min():.4g} to {sizes.max():.4g}"
    assert found["lambda_rho"] == found["lambda_w"] == "default: 1/beta = 0.0001"
    assert found["n_hidden_features"] == "auto: 16"
    assert found["batch_size"] == "default: all 400 samples"
    assert found["gamma"] == "3"
    assert found["tol"] == found["n_particles"] == found["flow_max_iter"] == "not used"


def test_parameters_of_the_solver_and_of_the_flow(run):
    stored = read_run(run)
    given = stored.metrics["parameters"] | {"solver": "gibbs", "lambda_rho": 0.5, "beta": math.inf}
    solved = replace(stored, metrics=stored.metrics | {"parameters": given})
    found = dict(parameters_used(solved))
    assert found["max_iter"] == found["step_size"] == found["flow_max_iter"] == "not used"
    assert (found["lambda_rho"], found["lambda_w"]) == ("0.5", "default: 0.5")
    flow = replace(solved, metrics={"parameters": given | {"stage_two": "flow"}})
    found = dict(parameters_used(flow))
    assert found["flow_max_iter"] == "default: 200"
    assert found["scheme"] == "not used"  # without noise, at beta = inf
    assert found["truncation"] == "default: no truncation"


def test_ideals_are_those_that_can_be_reached(run):
    rows = {row[0]: row[1:] for row in cells((run / "report.html").read_text(), TITLE)[1:]}
    assert len(rows) == len(COLLAPSE_DEFINITIONS)
    layer = rows["NC2, distance to the simplex ETF, the columns of W"]
    # Four orthonormal columns: sqrt(2 - 2 sqrt(3/4)).
    assert layer[2:] == ["0", "0.5176"]
    assert rows["NC2, mean |cos + 1/(K-1)|, the columns of W"][3] == "0.3333"
    assert rows["NC1, within / total"][2:] == ["0", "the same"]


def test_the_caption_of_the_features_says_what_nc1_says(run):
    stored = read_run(run)
    history = stored.history.copy()
    history.loc[history["stage"] == "one", "nc1"] = np.linspace(0.97, 0.556, len(history) - 2)
    (caption,) = (k.alt(replace(stored, history=history)) for k in FIGURES if k.name == "features")
    assert "lie 97 % of the variance" in caption
    assert "55.6 % after it (NC1 0.556)" in caption
    assert "cluster" not in caption


@pytest.mark.slow
def test_report_in_a_browser(run, tmp_path):
    url = (run / "report.html").as_uri()
    page = visit(url, tmp_path)
    assert page.console == []
    # What the browser itself asks for on an empty page is not the page's doing.
    assert page.hosts <= visit("about:blank", tmp_path / "blank").hosts
    assert 'data-ready="yes"' in page.dom
    assert "step 200, NC1" in page.dom
    assert page.dom.count("<tr>") > 8
    assert len(re.findall(r"<img [^>]*alt=", page.dom)) == len(figures_of(read_run(run)))
    for name, width, height in (("desktop", 1100, 4400), ("phone", 390, 6500)):
        picture = ARTEFACTS / f"report-{name}.png"
        screenshot(url, picture, tmp_path, width, height)
        with Image.open(picture) as image:
            pixels = np.asarray(image.convert("L"))
        # The pictures of the page are there: ink in the animation and below it.
        assert (pixels[500:1000] < 200).mean() > 0.005
        assert (pixels[1000:] < 200).mean() > 0.005


# A window of Chromium is never narrower than 500 pixels, a frame in it may be.
FRAME = """<iframe id="page" style="width: {width}px; height: 2000px; border: 0" srcdoc="{page}">
</iframe><script>
const frame = document.getElementById("page"), result = document.documentElement.dataset;
frame.addEventListener("load", () => {{
  const seen = [...frame.contentDocument.querySelectorAll("body, body *")]
    .filter((e) => e.clientWidth > 0 && !e.closest("thead"));
  result.cut = seen.filter((e) => e.scrollWidth > e.clientWidth + 1 && !e.closest("figure"))
    .map((e) => e.tagName).join(" ");
  result.right = Math.max(...seen.filter((e) => e.matches("td, th, p, figure"))
    .map((e) => e.getBoundingClientRect().right));
}});
</script>"""


@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 1200])
def test_nothing_of_the_report_is_cut_off(run, tmp_path, width):
    # Pictures of several panels alone may be scrolled.
    page = tmp_path / "page.html"
    page.write_text(FRAME.format(width=width, page=escape((run / "report.html").read_text())))
    dom = visit(page.as_uri(), tmp_path).dom
    assert 'data-cut=""' in dom
    assert float(re.search(r'data-right="([0-9.]+)"', dom)[1]) <= width
