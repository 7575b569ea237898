"""The command line answers at once, and can be stopped while its libraries are imported."""

import json
import os
import signal
import subprocess
import sys

import pytest
from support.waiting import wait_for

HEAVY = ("torch", "numpy", "pandas", "scipy", "sklearn", "matplotlib", "ot", "stages", "gibbs")


def imported_by(words, tmp_path):
    """Exit status, error, and the heavy libraries that a command has imported at its end."""
    found = tmp_path / "found.json"
    code = (
        "import atexit, json, sys\n"
        f"atexit.register(lambda: open({str(found)!r}, 'w').write(json.dumps(list(sys.modules))))\n"
        "from eval.app import main\nmain()"
    )
    command = [sys.executable, "-P", "-c", code, *words]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=tmp_path)
    return done, [name for name in HEAVY if name in json.loads(found.read_text())]


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["--help"], 0),
        (["--version"], 0),
        (["run", "--help"], 0),
        (["certify", "--help"], 0),
        (["compare", "--help"], 0),
        (["figure", "--help"], 0),
        (["study", "generalization", "--help"], 0),
        (["train"], 2),
        (["run", "--betta", "3"], 2),
        (["run", "--beta", "warm"], 2),
        (["run", "--solver", "newton"], 2),
        (["figure", "fig3"], 2),
        (["compare", "--folds", "1"], 2),
        (["check", "--n-samples", "1"], 2),
    ],
)
def test_help_and_a_refused_option_import_no_library(words, status, tmp_path):
    done, heavy = imported_by(words, tmp_path)
    assert done.returncode == status, done.stderr
    assert heavy == []
    assert "Traceback" not in done.stderr


def test_ctrl_c_during_the_imports_is_an_ending_like_any_other(tmp_path):
    # A module that is imported first and waits stands for an import that takes long.
    (tmp_path / "torch").mkdir()
    waits = "import pathlib, time\npathlib.Path('reached').touch()\ntime.sleep(60)\n"
    (tmp_path / "torch/__init__.py").write_text(waits)
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "eval.app", "run"],
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
    )
    wait_for((tmp_path / "reached").exists)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert said == "stopped by Ctrl-C: nothing is kept\n"
