"""The options of `gibbsnet run` for the network are the parameters of the classifier."""

import click
import pytest

from eval.app.cli import main
from eval.app.run.network_options import LEFT_OUT
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
