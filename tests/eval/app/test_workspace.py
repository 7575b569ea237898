"""Options, output folders and files that all commands share."""

import json
from dataclasses import dataclass

import click
import pandas as pd
import pytest
from click.testing import CliRunner

from eval.app.shared.formats import write_files
from eval.app.shared.options import Output, config_options, output_options, setting
from eval.app.shared.workspace import Workspace


@dataclass(frozen=True)
class Config:
    """One setting of every kind, and a field that is no option."""

    size: int = setting(3, "Size.", least=2)
    scale: float = setting(0.5)
    name: str = setting("a")
    flag: bool = setting(False, "A flag.")
    grid: tuple[float, ...] = setting((0.1, 2.0), "Grid.")
    share: float | None = setting(None, kind=click.FloatRange(0, 1))
    hidden: int = 7


@click.command()
@config_options(Config)
@output_options(out="Folder.", force="Replace it.", as_json="JSON.")
def command(output, **options):
    """Print the configuration."""
    return output.text(vars(Config(**options)), repr(Config(**options)))


def invoke(*words):
    return CliRunner().invoke(command, list(words))


def test_options_have_the_types_and_defaults_of_a_configuration():
    assert invoke().stdout == f"{Config()}\n"
    words = ["--size=4", "--scale=2", "--name=b", "--flag", "--grid=1,3", "--share=0.5"]
    found = json.loads(invoke(*words, "--json").stdout)
    assert found == {
        "size": 4,
        "scale": 2.0,
        "name": "b",
        "flag": True,
        "grid": [1.0, 3.0],
        "share": 0.5,
        "hidden": 7,
    }
    assert "[default: 3; x>=2]" in invoke("--help").stdout
    assert "--hidden" not in invoke("--help").stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--size=1"], "'--size': 1 is not in the range"),
        (["--grid=1,1"], "must be different numbers > 0 with commas between, got '1,1'"),
        (["--grid=a"], "must be different numbers > 0 with commas between, got 'a'"),
        (["--share=2"], "'--share': 2.0 is not in the range"),
        (["--force"], "--force needs --out"),
    ],
)
def test_options_are_refused_with_exit_status_2(words, message):
    result = invoke(*words)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())


def test_resume_and_force_exclude_each_other(tmp_path):
    with pytest.raises(ValueError, match="--resume and --force exclude each other"):
        Output(out=tmp_path, resume=True, force=True)


def test_jobs_are_kept_one_by_one_and_not_run_again(tmp_path):
    space = Workspace(tmp_path / "out", workers=1)
    with space.jobs("study", "small", {"n": 2}, {"data": "1"}):
        (space.out / "jobs" / "a.json").write_text('{"value": 1}')
        (space.out / "jobs" / "b.json").write_text('{"value": 2}')
    again = Workspace(space.out, resume=True, workers=1)
    with again.jobs("study", "small", {"n": 2}, {"data": "1"}):
        jobs = dict.fromkeys(("b.json", "a.json"))
        assert again.run(jobs, lambda content: content["value"]) == [2, 1]
    for config, versions, message in (
        ({"n": 3}, {"data": "1"}, "is a study with --n 2, not 3"),
        ({"n": 2}, {"data": "2"}, "was computed with data 1, not 2"),
    ):
        with (
            pytest.raises(ValueError, match=message),
            again.jobs("study", "small", config, versions),
        ):
            pass
    with (
        pytest.raises(FileExistsError, match="is not the folder of a large study"),
        again.jobs("study", "large", {"n": 2}),
    ):
        pass


def test_an_empty_folder_gives_way_and_a_full_one_does_not(tmp_path):
    (tmp_path / "empty").mkdir()
    with Workspace(tmp_path / "empty", force=True).staged() as scratch:
        (scratch / "file").write_text("new")
    assert (tmp_path / "empty" / "file").read_text() == "new"
    with (
        pytest.raises(FileExistsError, match="is not a folder that gibbsnet wrote"),
        Workspace(tmp_path / "empty", force=True).staged(),
    ):
        pass
    assert (tmp_path / "empty" / "file").read_text() == "new"


def test_files_are_written_by_what_they_hold(tmp_path):
    files = {"a.csv": pd.DataFrame({"x": [1]}), "b.json": {"x": 1}, "c.md": "text\n"}
    write_files(tmp_path, files)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "a.csv": "x\n1\n",
        "b.json": '{\n  "x": 1\n}\n',
        "c.md": "text\n",
    }
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_files(tmp_path, {"d.json": {"x": float("nan")}})
    assert len(list(tmp_path.iterdir())) == 3
