"""The options of `gibbsnet run` for the network are the parameters of the classifier."""

import ast
import dataclasses
import shlex

import click
import pytest

from eval.app.cli import main
from eval.app.report.report import command_line
from eval.app.run.command import _config
from eval.app.run.config import RunConfig
from eval.app.shared.network_options import LEFT_OUT, _kind
from stages import TwoStageClassifier

DEFAULTS = {
    name: value for name, value in TwoStageClassifier().get_params().items() if name not in LEFT_OUT
}
OPTIONS = {parameter.name: parameter for parameter in main.commands["run"].params}


def test_every_parameter_has_an_option_that_says_its_default():
    for name, value in DEFAULTS.items():
        option = OPTIONS[name]
        assert option.default is None, name  # left out: the class decides
        told = f"{value:g}" if isinstance(value, float) else value
        assert value is None or f"[default: {told}]" in option.help, name
        assert "`" not in option.help, name


@pytest.mark.parametrize(
    ("name", "options", "kind"),
    [
        ("n_neurons", ["--neurons"], click.INT),
        ("max_iter", ["--steps"], click.INT),
        ("flow_max_iter", ["--flow-steps"], click.INT),
        ("n_hidden_features", ["--hidden-features"], click.INT),
        ("lambda_w", ["--lambda-w"], click.FLOAT),
        ("step_size", ["--step-size"], click.FLOAT),
        ("activation", ["--activation"], click.STRING),
        ("center", ["--center"], click.BOOL),
    ],
)
def test_names_and_kinds(name, options, kind):
    assert OPTIONS[name].opts == options
    assert OPTIONS[name].type == kind


def test_choices_and_help_are_those_of_the_class():
    assert list(OPTIONS["scheme"].type.choices) == ["euler", "leimkuhler_matthews"]
    assert list(OPTIONS["solver"].type.choices) == ["langevin", "gibbs"]
    assert OPTIONS["center"].secondary_opts == ["--no-center"]
    flow = 'Steps of the stage two "flow". [default: --steps] [for --stage-two flow]'
    assert OPTIONS["flow_max_iter"].help == flow
    assert OPTIONS["stage_two"].help.endswith("by the joint noisy flow (Eq. 20). [default: linear]")


OF_THE_RUN = {field.name for field in dataclasses.fields(RunConfig)} - {"model"}


def values_of(option):
    """Values that an option can hold and that are not its default."""
    if option.is_bool_flag:
        return [True, False]
    if isinstance(option.type, click.Choice):
        return list(option.type.choices)
    return {"integer": [7], "float": [0.25, float("inf")]}.get(
        option.type.name.removesuffix(" range"), ["two words", "-dash"]
    )


@pytest.mark.parametrize("name", sorted(OF_THE_RUN | set(DEFAULTS)))
def test_the_printed_command_gives_the_same_configuration(name):
    for value in values_of(OPTIONS[name]):
        config = RunConfig(**{name: value} if name in OF_THE_RUN else {"model": {name: value}})
        words = shlex.split(command_line(dataclasses.asdict(config)))
        assert words[:2] == ["gibbsnet", "run"]
        given = main.commands["run"].make_context("run", words[2:]).params
        used = {key: given[key] for key in given if key in OF_THE_RUN | set(DEFAULTS)}
        assert _config(used) == config


@pytest.mark.parametrize(
    ("hint", "kind"),
    [
        ('int | Literal["auto"]', int),
        ("float | None", float),
        ('Literal["a", "b"]', ("a", "b")),
        ('Literal["a", "b"] | None', ("a", "b")),
    ],
)
def test_an_annotation_says_what_a_text_is_read_as(hint, kind):
    found = _kind(ast.parse(hint, mode="eval").body)
    assert tuple(found.choices) == kind if isinstance(found, click.Choice) else found is kind
