"""Fitted classifiers in files: the same to the last bit, and nothing but a sound file is read."""

import dataclasses
import hashlib
import io
import json
import os
import pickle
import random

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from support.seeds import shifted

from gibbs import Annealed, Piecewise
from stages import TwoStageClassifier, load_model, save_model
from stages.estimator import storage
from stages.estimator.packing import RECORDS, packed
from stages.files import whole_file

X, Y = load_iris(return_X_y=True)
X, Y = X[::3], Y[::3]
SMALL = {"n_neurons": 20, "max_iter": 12, "random_state": shifted()}


def fitted(x=X, y=Y, weight=None, **settings):
    return TwoStageClassifier(**SMALL | settings).fit(x, y, weight)


def stored(model, path):
    save_model(model, path)
    return load_model(path)


def assert_same(one, other):
    """Every attribute, of the same type and with the same bits."""
    assert vars(one).keys() == vars(other).keys()
    for name, value in vars(one).items():
        these, those = {}, {}
        assert packed(name, value, these) == packed(name, vars(other)[name], those), name
        for place, array in these.items():
            assert (array.dtype, array.shape) == (those[place].dtype, those[place].shape), name
            assert array.tobytes() == those[place].tobytes(), name


SOLVED = {"solver": "gibbs", "beta": 20.0, "n_particles": 300, "tol": 0.5}

KINDS = [
    {},
    {"stage_two": "flow", "flow_max_iter": 5},
    SOLVED,
    SOLVED | {"stage_two": "flow", "dtype": "float64"},
    {"truncation": 2.0, "activation": "softplus", "intercept": 0, "center": False},
    {"beta": float("inf"), "lambda_rho": 0.01, "gamma": np.float64(2.0)},
    {"batch_size": 10, "scheme": "leimkuhler_matthews", "n_threads": 1},
    {"step_size": Annealed(0.3, 5), "class_weight": {0: 2.0, np.int64(1): 3.0}},
    {"step_size": Piecewise((0.1, 0.2), (3,)), "class_weight": "balanced"},
    {"random_state": np.random.RandomState(shifted(3)), "dtype": "float64"},
]


@pytest.mark.parametrize("settings", KINDS)
def test_what_is_read_is_what_was_written(settings, tmp_path):
    model = fitted(**settings)
    loaded = stored(model, tmp_path / "m")
    assert_same(model, loaded)
    for method in ("predict", "decision_function", "transform"):
        np.testing.assert_array_equal(getattr(loaded, method)(X), getattr(model, method)(X))
    assert loaded.score(X, Y) == model.score(X, Y)
    save_model(loaded, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "m").read_bytes()
    assert_same(clone(loaded), clone(model))


@pytest.mark.parametrize("settings", [{}, {"stage_two": "flow"}, SOLVED])
def test_a_loaded_model_goes_on_as_the_one_that_was_stored(settings, tmp_path):
    model = fitted(**settings, warm_start=True)
    loaded = stored(model, tmp_path / "m")
    del model.fit(X, Y).history_["seconds" if "solver" not in settings else "step"]
    del loaded.fit(X, Y).history_["seconds" if "solver" not in settings else "step"]
    for each in (model, loaded):
        each.stage_two_history_.pop("seconds", None)
    assert_same(model, loaded)


def test_the_law_of_a_solved_model_comes_back_with_its_phases(tmp_path):
    x = X[:, :1]  # by quadrature
    model = fitted(x, **SOLVED | {"intercept": 0})
    loaded = stored(model, tmp_path / "m")
    points = model.problem(x, Y).x
    assert torch.equal(loaded.measure_.features(points), model.measure_.features(points))
    assert loaded.certificate_ == model.certificate_
    assert loaded.certificate_.certified


LABELS = [
    np.array(["setosa", "versicolor", "virginica"]),
    np.array(["a", "bb", "ccc"], dtype=object),
    np.array([-1, 5, 7], dtype=np.int8),
    np.array([0.0, 1.0, 2.0]),
    np.array([10**12, 5, 7]),
    np.array([True, False, False]),
]


@pytest.mark.parametrize("labels", LABELS, ids=lambda labels: str(labels.dtype))
def test_classes_keep_their_type(labels, tmp_path):
    y = labels[Y]
    model = fitted(y=y)
    loaded = stored(model, tmp_path / "m")
    assert loaded.classes_.dtype == model.classes_.dtype
    assert [type(label) for label in loaded.classes_] == [type(label) for label in model.classes_]
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    assert loaded.score(X, y) == model.score(X, y)


def test_names_of_columns_weights_and_output_settings_are_kept(tmp_path):
    frame = pd.DataFrame(X, columns=["length", "width", "größe", "petal width"])
    model = TwoStageClassifier(**SMALL).set_output(transform="pandas")
    model.fit(frame, Y, np.arange(len(Y)) % 4)
    loaded = stored(model, tmp_path / "m")
    assert loaded.feature_names_in_.tolist() == list(frame.columns)
    assert loaded.n_samples_ == model.n_samples_
    pd.testing.assert_frame_equal(loaded.transform(frame), model.transform(frame))
    with pytest.raises(ValueError, match="feature names should match"):
        loaded.predict(frame.rename(columns={"width": "depth"}))


def test_requests_of_metadata_are_kept(tmp_path):
    with config_context(enable_metadata_routing=True):
        model = fitted().set_fit_request(sample_weight=True, checkpoint="folder")
        loaded = stored(model, tmp_path / "m")
        asked = loaded.get_metadata_routing()
        assert asked.fit.requests == model.get_metadata_routing().fit.requests
        assert asked.fit.requests["checkpoint"] == "folder"
        make_pipeline(loaded).fit(X, Y, sample_weight=np.ones(len(Y)))


def test_a_file_is_replaced_whole_and_its_name_is_free(tmp_path):
    path = tmp_path / "any.thing"
    path.write_text("before")
    save_model(fitted(), str(path))
    assert [found.name for found in tmp_path.iterdir()] == ["any.thing"]
    assert load_model(str(path)).n_iter_ == SMALL["max_iter"]


def test_what_cannot_be_stored_is_refused_and_leaves_no_file(tmp_path):
    path = tmp_path / "m"
    with pytest.raises(ValueError, match=r"step_size must consist of numbers.*got <function"):
        save_model(fitted(step_size=lambda step: 0.1), path)
    with pytest.raises(NotFittedError):
        save_model(TwoStageClassifier(), path)
    with pytest.raises(TypeError, match="model must be a TwoStageClassifier, got Pipeline"):
        save_model(make_pipeline(fitted()), path)
    model = fitted()
    model.note = {1, 2}
    with pytest.raises(ValueError, match=r"note must consist of .*, got \{1, 2\}"):
        save_model(model, path)
    assert not list(tmp_path.iterdir())


def test_wrong_paths_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere: no such folder"):
        save_model(fitted(), tmp_path / "nowhere" / "m")
    with pytest.raises(FileNotFoundError, match="nothing: no such file"):
        load_model(tmp_path / "nothing")
    for use in (lambda path: save_model(fitted(), path), load_model):
        with pytest.raises(ValueError, match="path must name a file, got the folder"):
            use(tmp_path)


@pytest.fixture
def path(tmp_path):
    save_model(fitted(), tmp_path / "m")
    return tmp_path / "m"


WORDS = "is no file of a model|has format|was altered or cut short"


def test_every_altered_byte_is_noticed(path):
    whole, chance = path.read_bytes(), random.Random(shifted())
    places = [*range(100), *(chance.randrange(len(whole)) for _ in range(300))]
    for place in places:
        changed = bytearray(whole)
        changed[place] ^= 1 << chance.randrange(8)
        path.write_bytes(changed)
        with pytest.raises(ValueError, match=WORDS):
            load_model(path)


def test_files_that_are_cut_or_too_long_are_refused(path):
    whole, chance = path.read_bytes(), random.Random(shifted())
    lengths = [0, 1, 50, len(whole) - 1, *(chance.randrange(len(whole)) for _ in range(20))]
    for content in (whole + b"x", b"x" + whole, *(whole[:length] for length in lengths)):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=WORDS):
            load_model(path)


def sealed(archive, form=storage.FORMAT):
    digest = hashlib.sha256(archive).hexdigest()
    return f"gibbsnet-model format={form} sha256={digest}\n".encode() + archive


def archive_of(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def compressed_in_an_unknown_way():
    archive = bytearray(archive_of(tree=np.zeros(3)))
    for record, place in ((b"PK\1\2", 10), (b"PK\3\4", 8)):
        archive[archive.index(record) + place] = 99
    return bytes(archive)


@pytest.mark.parametrize("archive", [b"", compressed_in_an_unknown_way()], ids=len)
def test_a_sealed_archive_that_cannot_be_read_is_refused(archive, path):
    path.write_bytes(sealed(archive))
    with pytest.raises(ValueError, match="is not a valid model file"):
        load_model(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")
def test_a_pipe_is_not_replaced(path):
    model = load_model(path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(ValueError, match="must name a file, is a device or a pipe"):
        save_model(model, path)
    assert path.is_fifo()


def test_another_format_is_named(path):
    archive = path.read_bytes().partition(b"\n")[2]
    path.write_bytes(sealed(archive, form=7))
    with pytest.raises(ValueError, match=r"m has format 7, this version reads 1"):
        load_model(path)


class Bomb:
    """Unpickling it creates a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_no_file_runs_code(path, tmp_path):
    mark = tmp_path / "executed"
    bomb = pickle.dumps(Bomb(mark))
    pickle.loads(bomb).close()
    assert mark.exists()  # the bomb works
    mark.unlink()
    tree = np.frombuffer(json.dumps({"parameters": {"beta": {"array": "0"}}}).encode(), np.uint8)
    loaded = np.array([Bomb(mark)], dtype=object)
    for content in (bomb, sealed(bomb), sealed(archive_of(tree=tree, **{"0": loaded}))):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"is not a valid model file|is no file of a model"):
            load_model(path)
        assert not mark.exists()


@pytest.mark.parametrize(
    "tree",
    [
        {},
        {"parameters": {"beta": 1.0}},
        {"parameters": {"no_such_parameter": 1}, "fitted": {}},
        {"parameters": {}, "fitted": {"coef_": {"system": "echo"}}},
        {"parameters": {}, "fitted": {"coef_": {"array": "5"}}},
        {"parameters": {}, "fitted": {"coef_": {}}},
        {"parameters": {}, "fitted": {"particles_": {"Particles": {"a": 1}}}},
        {"parameters": {}, "fitted": {"_trained": {"dtype": "complex64"}}},
        {"parameters": {}, "fitted": {}, "requests": {"system": {"echo": True}}},
        [],
    ],
)
def test_a_sealed_file_with_other_content_is_refused(tree, path):
    text = np.frombuffer(json.dumps(tree).encode(), np.uint8)
    path.write_bytes(sealed(archive_of(tree=text)))
    with pytest.raises(ValueError, match="is not a valid model file"):
        load_model(path)


def test_the_records_of_format_1_have_these_fields():
    fields = {kind.__name__: [f.name for f in dataclasses.fields(kind)] for kind in RECORDS}
    # Other names are another format: raise FORMAT, and say so here.
    assert storage.FORMAT == 1
    assert {name: " ".join(names) for name, names in fields.items()} == {
        "Certificate": "dual primal gap gap_stderr dual_stderr method effective_size n_replays "
        "certified reason phase_masses bounded prior_energy",
        "GibbsMeasure": "problem dual coefficients points weights log_z basis phases replays",
        "Mixture": "shares means factors",
        "Particles": "a u",
        "Phases": "regions groups level numbers masses chosen",
        "Problem": "x y w beta gamma lambda_rho activation truncation sample_weight",
        "Trained": "settings intercept dtype",
        "Annealed": "first scale power",
        "Cosine": "first last n_steps",
        "Piecewise": "sizes starts",
    }


@pytest.mark.skipif(os.name != "posix", reason="modes and links of POSIX")
def test_a_link_stays_a_link_and_a_private_file_private(tmp_path):
    path, link = tmp_path / "model.gibbsnet", tmp_path / "latest"
    path.write_text("earlier")
    path.chmod(0o600)
    link.symlink_to(path)
    with whole_file(link) as scratch:
        scratch.write_text("later")
    assert link.is_symlink()
    assert path.read_text() == "later"
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(list(tmp_path.iterdir())) == 2
