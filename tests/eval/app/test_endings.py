"""How commands end that are stopped: what is told, what is kept, what is left behind."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from support.waiting import last_step, wait_for

from eval.app.cli import main
from eval.app.shared.endings import Stopped, explained
from eval.app.shared.workspace import Workspace, alone_in

STUDY = shlex.split(
    "study generalization --margins=0.1 --sizes=16 --seeds=40 --n-test=200 --neurons=20 "
    "--steps=200 --workers=2"
)
LONG = shlex.split("run --data iris --neurons 100 --steps 1000000 --checkpoint 0")
QUICK = "--neurons 10 --steps 2 --quiet"
SHORT = f"run --n-samples 40 --n-test 50 {QUICK}"


def invoke(words):
    return CliRunner().invoke(main, shlex.split(words) if isinstance(words, str) else words)


def start(words, folder):
    """A command in a session of its own, so that a signal can be sent as a terminal does."""
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "eval.app", *words],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def stop(process, number):
    """Send a signal to the process and to all that it has started."""
    os.killpg(process.pid, number)
    stdout, stderr = process.communicate(timeout=60)
    return stdout, stderr


@pytest.mark.parametrize(
    ("number", "name", "status"), [(signal.SIGINT, "Ctrl-C", 130), (signal.SIGTERM, "SIGTERM", 143)]
)
def test_a_study_that_is_stopped_says_what_is_kept_and_goes_on(number, name, status, tmp_path):
    out = tmp_path / "study"
    process = start([*STUDY, "--out", "study"], tmp_path)
    wait_for(lambda: len(list(out.glob("jobs/[!.]*"))) >= 2)
    stdout, stderr = stop(process, number)
    kept = len(list(out.glob("jobs/*")))
    assert 2 <= kept < 40
    assert process.returncode == status
    assert stdout == ""
    assert stderr == (
        f"stopped by {name}: {kept} finished runs are kept in study; "
        "continue with the same options, --out study and --resume\n"
    )
    assert sorted(path.name for path in out.iterdir()) == ["config.json", "jobs"]
    assert all(json.loads(path.read_text()) for path in out.glob("jobs/*"))
    assert [path.name for path in tmp_path.iterdir()] == ["study"]
    few = [word for word in STUDY if "--seeds" not in word]
    other = invoke([*few, "--seeds=3", "--out", str(out), "--resume"])
    assert "--seeds 40, not 3" in " ".join(other.stderr.split())


def test_a_run_that_is_terminated_keeps_its_checkpoints_and_no_scratch_folder(tmp_path):
    process = start([*LONG, "--out", "deep/run"], tmp_path)
    partial = tmp_path / "deep/run.partial"
    wait_for(lambda: last_step(partial) > 0)
    _, stderr = stop(process, signal.SIGTERM)
    assert process.returncode == 143, stderr
    assert stderr.splitlines()[-1] == (
        "stopped by SIGTERM: deep/run.partial is kept; "
        "continue with: gibbsnet run --resume deep/run"
    )
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["run.partial"]
    reached = last_step(partial)
    process = start(["run", "--resume", "deep/run", "--checkpoint", "0"], tmp_path)
    wait_for(lambda: last_step(partial) > reached)
    _, stderr = stop(process, signal.SIGTERM)
    assert process.returncode == 143, stderr
    assert last_step(partial) > reached
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["run.partial"]


def raising(number):
    def begin(*_, **__):
        signal.raise_signal(number)

    return begin


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run."""
    out = tmp_path_factory.mktemp("finished") / "run"
    result = invoke(f"run --n-samples 40 --n-test 50 {QUICK} --out {shlex.quote(str(out))}")
    assert result.exit_code == 0, result.output
    return out


@pytest.fixture
def trained(finished, tmp_path, monkeypatch):
    """The files of a copy of it, in the working directory."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(finished, "run")
    return {path: path.read_bytes() for path in Path("run").rglob("*") if path.is_file()}


STOPPED_WHILE_WRITING = [
    ("check --data iris --out made", "check.checking.write"),
    ("compare --data iris --out made", "compare.fixed.execute"),
    ("compare --data iris --out made", "compare.tables.write"),
    ("certify run --quiet", "shared.run_folder.write_certification"),
    ("certify run --quiet", "report.report.write_report"),
    (f"run --n-samples 40 --n-test 50 {QUICK} --out run --force", "run.run_files.write_run"),
    (f"{SHORT} --out made/deep", "report.report.write_report"),
]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize(("words", "step"), STOPPED_WHILE_WRITING)
def test_no_command_leaves_a_scratch_folder(words, step, number, trained, monkeypatch):
    monkeypatch.setattr("eval.app.compare.fixed.execute", lambda *_, **__: [])
    judged = SimpleNamespace(content=dict, arrays=dict)
    monkeypatch.setattr("eval.app.certify.certification.certify_run", lambda *_, **__: judged)
    monkeypatch.setattr(f"eval.app.{step}", raising(number))
    result = invoke(words)
    assert result.exit_code == 128 + number, result.output
    assert result.stderr.startswith(f"stopped by {signal.Signals(number).name}: ")
    assert not [path for path in Path().rglob(".*") if path.name != "."]
    found = {path: path.read_bytes() for path in Path("run").rglob("*") if path.is_file()}
    assert found == trained
    others = {path.name for path in Path().iterdir()} - {"run"}
    assert others <= {"run.partial", "made"}
    if words.startswith("run"):
        assert "continue with: gibbsnet run --resume" in result.stderr
        assert json.loads(next(Path().rglob("*.partial/config.json")).read_text())
    else:
        assert "nothing is kept" in result.stderr


def test_the_second_ctrl_c_of_a_run_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def twice(*_, **__):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("eval.app.run.runs.execute", twice)
    result = invoke("run --data iris --out run")
    assert result.exit_code == 130
    assert result.stderr.splitlines()[-1] == "stopped by Ctrl-C: nothing is kept"
    assert not list(tmp_path.iterdir())


def test_signals_are_handled_as_before_when_a_command_has_ended():
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    with explained():
        assert signal.getsignal(signal.SIGTERM) is not before[0]
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before
    ignored = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as under nohup
    try:
        with explained():
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, ignored)
    ends = []

    def elsewhere():
        with explained():
            ends.append(True)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert ends == [True]


def test_what_a_kill_has_left_is_swept_by_the_next_and_what_lives_is_not(tmp_path):
    out = tmp_path / "run"
    dead, alive = tmp_path / ".run-abcdefgh.scratch", tmp_path / ".run-12345678.scratch"
    mine = tmp_path / ".run-settings"
    for folder in (dead, alive, mine):
        folder.mkdir()
        (folder / "file").write_text("dear")
    with alone_in(alive), Workspace(out).staged() as scratch:
        assert sorted(tmp_path.iterdir()) == sorted([alive, mine, scratch])
        with Workspace(tmp_path / "other").staged():
            pass
        (scratch / "file").write_text("new")
    assert sorted(tmp_path.iterdir()) == sorted([alive, mine, tmp_path / "other", out])


def test_an_earlier_folder_stays_where_the_new_one_cannot_take_its_place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert invoke("check --data iris --out made").exit_code == 0
    rename = Path.rename

    def refuse(path, target):
        if path.name.endswith(".scratch"):
            raise Stopped(signal.SIGTERM)
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refuse)
    assert invoke("check --data iris --out made --force").exit_code == 143
    assert [path.name for path in tmp_path.iterdir()] == ["made"]
    assert (tmp_path / "made" / "check.json").is_file()


UNWRITABLE = "run --n-samples 40 --n-test 50 --neurons 10 --steps 2"


@pytest.mark.parametrize(
    "words",
    [
        f"{UNWRITABLE} --out /proc/x",
        f"{UNWRITABLE} --out /proc/x/deep",
        f"{UNWRITABLE} --out {'x' * 250}",
        "check --data iris --out /proc/x",
        "compare --data iris --out /proc/x",
        "study generalization --sizes 8 --out /proc/x",
        "predict run new.csv --out /proc/x",
        "predict run new.csv --out nowhere/x",
    ],
)
@pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no /proc")
def test_a_folder_that_cannot_be_written_is_told_in_one_sentence(words, trained):
    header = ",".join(f"x{k}" for k in range(20))
    Path("new.csv").write_text(f"{header}\n{','.join(['0.1'] * 20)}\n")
    before = sorted(Path().iterdir())
    result = invoke(words)
    assert result.exit_code == 2, result.output
    out = shlex.split(words)[-1]
    told = r"cannot be written: [A-Z][\w ]+$"
    assert re.search(told, result.stderr.strip()), result.stderr
    assert out in result.stderr
    assert "Errno" not in result.stderr
    assert ".scratch" not in result.stderr
    assert sorted(Path().iterdir()) == before


def test_other_errors_of_the_system_have_no_number(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def full(*_, **__):
        raise OSError(28, "No space left on device", "made/file")

    monkeypatch.setattr("eval.app.check.checking.write", full)
    result = invoke("check --data iris --out made")
    assert result.exit_code == 2
    assert result.stderr == "Error: made/file: No space left on device\n"


def test_one_cell_has_one_place_in_every_command(tmp_path, monkeypatch):
    """The fifth line of the file: the header, a blank line and two rows stand before."""
    monkeypatch.chdir(tmp_path)
    rows = [f"{value},{'u' if value < 4 else 'v'}" for value in range(8)]
    Path("good.csv").write_text("\n".join(["a,label", *rows]) + "\n")
    Path("bad.csv").write_text("\n".join(["a,label", "", *rows[:2], "tall,u", *rows[4:]]) + "\n")
    assert invoke(f"run --data good.csv {QUICK} --out run").exit_code == 0
    words = ("run --data bad.csv --out new", "check bad.csv", "compare --data bad.csv --out new")
    said = [invoke(line) for line in (*words, "predict run bad.csv")]
    assert [result.exit_code for result in said] == [2] * 4
    assert {result.stderr for result in said} == {
        "Error: bad.csv: line 5, column 'a': features must be finite numbers, got 'tall'\n"
    }
    Path("bad.csv").write_text("\n".join(["a,label", "", *rows[:2], "0.5,"]) + "\n")
    result = invoke("predict run bad.csv --target label")
    assert result.exit_code == 2
    assert result.stderr == "Error: bad.csv: line 5, column 'label': missing value\n"


def test_ctrl_c_while_workers_start_ends_them(tmp_path):
    """A worker that waits for ever: the call returns only if it is ended."""
    code = (
        "import os, signal, threading\n"
        "from pathlib import Path\n"
        "from eval.app.shared.parallel import run_jobs\n"
        "import eval.app.shared.parallel as parallel\n"
        "submit = parallel.ProcessPoolExecutor.submit\n"
        "def late(*arguments):\n"
        "    future = submit(*arguments)\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    return future\n"
        "parallel.ProcessPoolExecutor.submit = late\n"
        "try:\n"
        "    run_jobs({'a': signal.pause, 'b': signal.pause}, dict, Path('.'), workers=2)\n"
        "except KeyboardInterrupt:\n"
        "    print('ended')\n"
    )
    script = tmp_path / "script.py"
    script.write_text(
        f"if __name__ == '__main__':\n    {code.replace(chr(10), chr(10) + '    ')}\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("ended\n", "")
