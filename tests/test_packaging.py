"""The installed packages: what the wheel holds, and what the base install can import."""

import ast
import os
import re
import subprocess
import sys
import zipfile
from importlib.metadata import requires
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CONTRACT = {
    "gibbs": "Problem Particles GibbsMeasure Certificate LangevinResult GibbsResult sample_prior "
    "sample_normal run_langevin solve_gibbs certify",
    "stages": "TwoStageClassifier train_two_stage",
    "eval": "SeparableDistribution make_linearly_separable mismatch_error mismatch_interval "
    "nc1 collapse_metrics CollapseAccumulator balancedness feature_error sliced_wasserstein "
    "compare_baselines",
}
IMPORTS = "; ".join(
    f"from {package} import {', '.join(names.split())}" for package, names in CONTRACT.items()
)
EXTRAS = [
    "click",
    "pandas",
    "pyarrow",
    "matplotlib",
    "jinja2",
    "mlxtend",
    "torchmetrics",
    "hypothesis",
    "pytest",
]


def run_python(code, *, python=sys.executable, cwd=None):
    environment = os.environ | {"PYTHONSAFEPATH": "1"}
    return subprocess.run(
        [python, "-c", code], capture_output=True, text=True, cwd=cwd, env=environment, check=False
    )


def test_packages_import_without_any_extra():
    block = (
        "import sys\n"
        f"for name in {EXTRAS}: sys.modules[name] = None\n"
        f"{IMPORTS}\n"
        "from eval import load_dataset\n"
        "try: load_dataset(__import__('sys').argv[0] or 'x')\n"
        "except FileNotFoundError: pass\n"
    )
    result = run_python(block)
    assert result.returncode == 0, result.stderr


def test_a_missing_extra_is_named_with_its_pip_line(tmp_path):
    (tmp_path / "data.csv").write_text("a,b\n1,x\n2,y\n")
    code = (
        "import sys; sys.modules['pandas'] = None\n"
        "from eval import load_dataset\n"
        "load_dataset('data.csv')"
    )
    result = run_python(code, cwd=tmp_path)
    assert "needs pandas: pip install 'gibbsnet[app]'" in result.stderr


def test_extras_are_declared_as_extras():
    base = [r for r in requires("gibbsnet") if "extra ==" not in r]
    names = sorted(r.split(">")[0].split("<")[0].strip() for r in base)
    assert names == ["lazy-loader", "numpy", "pot", "scikit-learn", "scipy", "torch", "tqdm"]


def test_gibbs_imports_torch_and_the_standard_library_alone():
    found = set()
    compiled = ROOT / "gibbs" / "dynamics" / "fused"  # loaded where numba is installed
    for path in (ROOT / "gibbs").rglob("*.py"):
        if compiled in path.parents:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                found.add(node.module.partition(".")[0])
            elif isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
    assert found - set(sys.stdlib_module_names) == {"gibbs", "torch"}


PACKAGES = [p for top in ("gibbs", "stages", "eval") for p in (ROOT / top).rglob("__init__.py")]


@pytest.mark.parametrize("path", PACKAGES, ids=lambda path: path.parent.name)
def test_the_docstring_of_a_package_names_its_modules_and_no_others(path):
    about = ast.get_docstring(ast.parse(path.read_text()))
    named = set(re.findall(r"(?<![:`])`([a-z_0-9]+)`(?!`)", about))
    found = {each.stem for each in path.parent.glob("[!_]*.py")}
    found |= {each.parent.name for each in path.parent.glob("*/__init__.py")}
    assert named == found


@pytest.mark.slow
def test_wheel_holds_three_packages_and_works_in_a_fresh_environment(tmp_path):
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    wheels = tmp_path / "wheels"
    subprocess.run(
        [*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", wheels, ROOT], check=True
    )
    (wheel,) = wheels.iterdir()
    with zipfile.ZipFile(wheel) as archive:
        tops = {name.partition("/")[0] for name in archive.namelist()}
    assert {t for t in tops if not t.endswith(".dist-info")} == {"gibbs", "stages", "eval"}
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run(
        [python, *pip[1:], "install", "-c", ROOT / "constraints.txt", wheel],
        check=True,
    )
    result = run_python(f"{IMPORTS}; import pandas", python=python, cwd=tmp_path)
    assert "No module named 'pandas'" in result.stderr
    assert run_python(IMPORTS, python=python, cwd=tmp_path).returncode == 0
    missing = subprocess.run(
        [tmp_path / "venv" / "bin" / "gibbsnet"], capture_output=True, text=True, check=False
    )
    assert missing.returncode == 2
    assert "pip install 'gibbsnet[app]'" in missing.stderr
