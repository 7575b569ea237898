import json
import pickle
import shutil

import numpy as np
import pytest
from click.testing import CliRunner
from sklearn.datasets import load_iris
from support.seeds import numpy_generator, shifted

from eval import nc1
from eval.app.cli import main
from eval.app.run import runs
from eval.app.run.config import RunConfig
from eval.app.run.model_store import COLUMNS, MODEL, SavedModel, read_model, write_model
from eval.app.run.run_files import write_run
from eval.app.shared import scores
from eval.app.shared.certificates import certificate_fields
from eval.app.shared.run_folder import FORMAT, read_run, seal
from eval.app.shared.workspace import Workspace
from stages import TwoStageClassifier


@pytest.fixture(scope="module")
def outcome():
    model = {"n_neurons": 40, "max_iter": 20}
    return runs.execute(RunConfig(data="wine", model=model), progress=False)


@pytest.fixture
def folder(outcome, tmp_path):
    path = tmp_path / "run"
    path.mkdir()
    write_run(outcome, path)
    return path


def test_a_run_is_read_back(outcome, folder):
    stored = read_run(folder)
    assert stored.complete
    found, expected = (
        {
            name: [scores.record_fields(record) for record in records]
            for name, records in each.items()
        }
        for each in (stored.scores, outcome.scores)
    )
    assert found == expected
    assert stored.config["model"] == {"n_neurons": 40, "max_iter": 20}
    np.testing.assert_array_equal(stored.arrays["confusion"], outcome.confusion)
    for part, x, y in (
        ("train", outcome.split.x, outcome.split.y),
        ("test", outcome.split.x_test, outcome.split.y_test),
    ):
        found = stored.metrics["collapse"][part]
        assert found["nc1"]["value"] == pytest.approx(nc1(outcome.model.transform(x), y))
        assert {entry["status"] for entry in found.values()} == {"ok"}
    steps = stored.arrays["steps"]
    assert steps[0] == 0
    assert steps[-1] == 20
    assert (np.diff(steps) > 0).all()


def test_the_model_predicts_as_before(outcome, folder):
    loaded = read_model(folder)
    raw = outcome.split.x_test * outcome.split.scale + outcome.split.shift
    expected = outcome.model.decision_function(outcome.split.x_test)
    np.testing.assert_allclose(loaded.decision_function(raw), expected, atol=1e-9)
    exact = loaded.classifier.decision_function(outcome.split.x_test)
    np.testing.assert_array_equal(exact, expected)
    assert (loaded.predict(raw) == outcome.model.predict(outcome.split.x_test)).all()
    assert loaded.feature_names == outcome.split.feature_names
    assert (loaded.classifier.get_params()["n_neurons"], loaded.classifier.n_iter_) == (40, 20)


@pytest.mark.parametrize("classes", [["a", "b"], [3, 7], [True, False]])
def test_classes_keep_their_type(classes, tmp_path):
    x = numpy_generator().normal(size=(20, 2))
    labels = np.array(classes)[np.arange(20) % 2]
    fitted = TwoStageClassifier(n_neurons=10, max_iter=2, random_state=shifted()).fit(x, labels)
    write_model(SavedModel(fitted, np.zeros(2), np.ones(2), ("a", "b")), tmp_path)
    loaded = read_model(tmp_path)
    assert loaded.classifier.classes_.dtype == labels.dtype
    assert (loaded.predict(x) == fitted.predict(x)).all()


FILES = ["config.json", "metrics.json", "history.csv", "features.npz", MODEL, COLUMNS]


def refusal(folder):
    """What `gibbsnet report` says of a folder, with status 2."""
    result = CliRunner().invoke(main, ["report", str(folder)])
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    return " ".join(result.output.split())


@pytest.mark.parametrize("name", FILES)
def test_files_cut_short_altered_or_missing_are_refused(folder, name):
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[: len(whole) // 2])
    assert f"{name} was altered or cut short" in refusal(folder)
    changed = bytearray(whole)
    changed[len(whole) // 2] ^= 1
    (folder / name).write_bytes(changed)
    assert f"{name} was altered or cut short" in refusal(folder)
    (folder / name).unlink()
    assert f"{name} is missing" in refusal(folder)


def test_folders_that_are_no_runs_are_refused(folder, tmp_path):
    assert "no such folder" in refusal(tmp_path / "nowhere")
    (folder / "manifest.json").write_text("{")
    assert "is not the folder of a run" in refusal(folder)
    (folder / "manifest.json").unlink()
    assert "is not the folder of a run" in refusal(folder)


def test_newer_formats_are_refused_and_named(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest |= {"format": FORMAT + 1, "gibbsnet": "99.0"}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert f"has format {FORMAT + 1}, made by gibbsnet 99.0" in refusal(folder)


def test_columns_that_are_not_sound_are_refused(folder):
    whole = json.loads((folder / COLUMNS).read_text())
    for content in ("", "[]", json.dumps({"shift": [1.0]}), json.dumps(whole | {"scale": ["a"]})):
        (folder / COLUMNS).write_text(content)
        with pytest.raises(ValueError, match=r"holds no valid columns\.json"):
            read_model(folder)
    (folder / MODEL).unlink()
    with pytest.raises(FileNotFoundError, match=r"model\.gibbsnet: no such file"):
        read_model(folder)


def test_the_law_of_a_solved_network_stays_out_of_the_folder(tmp_path):
    x, y = load_iris(return_X_y=True)
    fitted = TwoStageClassifier(solver="gibbs", beta=20.0, n_particles=300, random_state=shifted())
    fitted.fit(x[::5], y[::5])
    write_model(SavedModel(fitted, np.zeros(4), np.ones(4), tuple("abcd")), tmp_path)
    loaded = read_model(tmp_path).classifier
    assert loaded.measure_ is None
    assert fitted.measure_ is not None
    assert loaded.certificate_ == fitted.certificate_
    np.testing.assert_array_equal(loaded.transform(x), fitted.transform(x))


def written_before(model, folder):
    """Replace the network in a folder by the file of format 1."""
    fitted = model.classifier
    arrays = {
        "a": fitted.particles_.a.numpy(),
        "u": fitted.particles_.u.numpy(),
        "coef": fitted.coef_,
        "initial_coef": fitted.initial_coef_,
        "mean": fitted.mean_,
        "shift": model.shift,
        "scale": model.scale,
    }
    about = {
        "format": 1,
        "parameters": fitted.get_params(),
        "classes": fitted.classes_.tolist(),
        "norm": fitted.scale_,
        "n_iter": fitted.n_iter_,
        "certificate": fitted.certificate_ and certificate_fields(fitted.certificate_),
        "feature_names": list(model.feature_names),
    }
    header, end = {"__metadata__": {"gibbsnet": json.dumps(about)}}, 0
    for name, array in arrays.items():
        begin, end = end, end + array.nbytes
        header[name] = {"dtype": "F64", "shape": array.shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    numbers = b"".join(array.tobytes() for array in arrays.values())
    path = folder / "model.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + numbers)
    (folder / MODEL).unlink()
    (folder / COLUMNS).unlink()
    return path


def test_the_network_of_a_run_made_before_is_read(outcome, folder):
    written_before(outcome.saved_model, folder)
    loaded, x = read_model(folder), outcome.split.x_test
    expected = outcome.model.decision_function(x)
    np.testing.assert_array_equal(loaded.classifier.decision_function(x), expected)
    assert loaded.feature_names == outcome.split.feature_names
    np.testing.assert_array_equal(loaded.shift, outcome.split.shift)
    assert (loaded.classifier.get_params()["n_neurons"], loaded.classifier.n_iter_) == (40, 20)


def test_files_of_before_that_are_not_sound_are_refused(outcome, folder):
    path = written_before(outcome.saved_model, folder)
    whole = path.read_bytes()
    other = whole.replace(b'"coef"', b'"chef"')
    for content in (b"", whole[:50], whole[:-8], b"\x80\x04." + whole, other):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="is not a valid model file"):
            read_model(folder)


class Bomb:
    """Unpickling it creates a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("name", [MODEL, "features.npz"])
def test_no_code_in_a_run_folder_is_executed(folder, tmp_path, name):
    mark = tmp_path / "executed"
    bomb = pickle.dumps(Bomb(mark))
    pickle.loads(bomb).close()
    assert mark.exists()  # the bomb works
    mark.unlink()
    arrays = {"steps": np.array([Bomb(mark)], dtype=object)}
    for seal_it in (False, True):
        if name == "features.npz":
            np.savez(folder / name, **arrays)
        else:
            (folder / name).write_bytes(bomb)
        if seal_it:
            seal(folder, complete=True)
        result = CliRunner().invoke(main, ["report", str(folder)])
        with pytest.raises(ValueError, match=r"is no file|pickle|altered"):
            read_model(folder) if name[0] == "m" else read_run(folder)
        assert not mark.exists()
        if name == "features.npz":
            assert result.exit_code == 2


def test_nothing_is_left_of_a_folder_that_fails_on_the_way(tmp_path):
    def fail():
        with Workspace(tmp_path / "deep" / "run").staged() as scratch:
            (scratch / "half").write_text("written")
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        fail()
    assert not list(tmp_path.iterdir())


def test_report_can_be_drawn_again(folder):
    assert not (folder / "report.html").exists()
    for _ in range(2):
        result = CliRunner().invoke(main, ["report", str(folder)])
        assert result.exit_code == 0, result.output
        assert "two-stage network" in result.output
    assert read_run(folder).complete
    shutil.rmtree(folder / "figures")
    assert "figures/" in refusal(folder)
