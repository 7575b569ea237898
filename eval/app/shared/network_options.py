"""Options for the parameters of the network: what the class says of them, and their uses.

They are read from the source of the class: to import it would take seconds, and a command line has
to answer at once.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from eval.app.shared.uses import Facts, Use, Uses

__all__ = [
    "DEFAULTS",
    "NETWORK",
    "STEPS",
    "choices_for_none",
    "named_as_options",
    "network_facts",
    "network_options",
    "network_words",
]

LEFT_OUT = ("class_weight", "warm_start", "dtype", "random_state", "n_threads", "verbose")
"""Parameters that have no option of their own."""

SHORTER = {
    "n_hidden_features": "hidden-features",
    "n_neurons": "neurons",
    "max_iter": "steps",
    "flow_max_iter": "flow-steps",
}
"""Options that are not named like their parameter."""


def _class(file: str, name: str) -> ast.ClassDef:
    """The source of a class in a file of the package stages."""
    spec = find_spec("stages")
    assert spec is not None
    assert spec.submodule_search_locations
    path = Path(spec.submodule_search_locations[0]) / file
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return next(n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == name)


_CLASSIFIER = _class("estimator/classifier.py", "TwoStageClassifier")
_SIGNATURE = next(
    node.args
    for node in _CLASSIFIER.body
    if isinstance(node, ast.FunctionDef) and node.name == "__init__"
)

DEFAULTS: dict[str, Any] = {
    argument.arg: ast.literal_eval(value)
    for argument, value in zip(_SIGNATURE.kwonlyargs, _SIGNATURE.kw_defaults, strict=True)
    if value is not None
}
"""Of every parameter of the network."""

_OF_THE_DYNAMICS = tuple(
    node.target.id
    for node in _class("noisy_steps.py", "NoisySteps").body
    if isinstance(node, ast.AnnAssign)
    and isinstance(node.target, ast.Name)
    and node.target.id in DEFAULTS
)
"""Parameters of the network that are options of the dynamics, beside the numbers of steps."""

STEPS = Use(
    "is for steps of the dynamics, with --solver langevin or --stage-two flow",
    lambda facts: facts["dynamics"],
)
_SOLVER = Use("is for --solver gibbs", lambda facts: facts["solved"])

NETWORK: Uses = {
    "max_iter": Use(
        "is for --solver langevin, or --stage-two flow without --flow-steps",
        lambda facts: facts["steps"],
    ),
    "flow_max_iter": Use("is for --stage-two flow", lambda facts: facts["flow"]),
    **dict.fromkeys(_OF_THE_DYNAMICS, STEPS),
    "scheme": Use(
        "is for noisy steps of the dynamics, with --solver langevin or --stage-two flow and a "
        "finite --beta",
        lambda facts: facts["dynamics"] and facts["noise"],
    ),
    **dict.fromkeys(("n_particles", "tol"), _SOLVER),
}
"""Which parameter of the network is used where; the others always are."""


def network_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command an option for each parameter; None stands for one that was left out."""
    hints = {argument.arg: argument.annotation for argument in _SIGNATURE.kwonlyargs}
    sentences = _sentences()
    for name in reversed([name for name in DEFAULTS if name not in LEFT_OUT]):
        option, kind = f"--{_option(name)}", _kind(hints[name])
        if kind is bool:
            option = f"{option}/--no-{_option(name)}"
        text = _help(sentences.get(name, ""), DEFAULTS[name])
        command = click.option(option, name, type=kind, default=None, help=text)(command)
    return command


def network_facts(model: Mapping[str, Any]) -> Facts:
    """What decides which parameters of the network are used, from those that are given."""
    network = {**DEFAULTS, **model}
    sampled, flow = network["solver"] != "gibbs", network["stage_two"] == "flow"
    steps, given = network["max_iter"], network["flow_max_iter"]
    flow_steps = steps if given is None else given
    return {
        "solved": not sampled,
        "flow": flow,
        "steps": sampled or (flow and given is None),
        "dynamics": (sampled and steps != 0) or (flow and flow_steps != 0),
        "noise": network["beta"] != math.inf,
    }


def network_words(model: Mapping[str, Any]) -> list[str]:
    """The options that give the network these parameters, in words of a command line."""
    words = []
    for name, value in model.items():
        if isinstance(value, bool):
            words.append(f"--{'' if value else 'no-'}{_option(name)}")
        elif value is not None:
            words += [f"--{_option(name)}", str(value)]
    return words


@contextmanager
def named_as_options() -> Iterator[None]:
    """Errors about a parameter of the network name its option."""
    try:
        yield
    except ValueError as error:
        name, must, rest = str(error).partition(" must ")
        if not must or name not in DEFAULTS or name in LEFT_OUT:
            raise
        raise ValueError(f"--{_option(name)}{must}{rest}") from error


def choices_for_none() -> dict[str, str]:
    """What None means, by parameter, where the docstring says it."""
    parts = {name: text.partition("; None means ") for name, text in _sentences().items()}
    return {
        name: words.rstrip(".").replace("`", "") for name, (_, _, words) in parts.items() if words
    }


def _option(name: str) -> str:
    return SHORTER.get(name, name.replace("_", "-"))


def _kind(hint: ast.expr | None) -> Any:
    """What the text of an option is read as: the first type that a text can give, or a choice."""
    parts = list(ast.walk(hint)) if hint is not None else []
    named = {part.id for part in parts if isinstance(part, ast.Name)}
    kind = next((kind for kind in (bool, int, float, str) if kind.__name__ in named), None)
    return kind or click.Choice([n.value for n in parts if isinstance(n, ast.Constant) and n.value])


def _sentences() -> dict[str, str]:
    """The first sentence that the docstring has about each parameter."""
    _, _, section = (ast.get_docstring(_CLASSIFIER) or "").partition("Parameters\n")
    entries = re.findall(r"^(\w+) : .*\n((?:    .*\n)+)", section, re.MULTILINE)
    texts = {name: " ".join(lines.split()) for name, lines in entries}
    return {name: re.split(r"(?<=\.) (?=[A-Z\"])", text)[0] for name, text in texts.items()}


def _help(sentence: str, default: Any) -> str:
    """The sentence with its default in brackets, and options in place of parameters."""
    text, _, fallback = sentence.partition("; None means ")
    text = re.sub(r"`(\w+)`", lambda name: f"--{_option(name[1])}", text.rstrip("."))
    if default is not None:
        fallback = f"{default:g}" if isinstance(default, float) else str(default)
    fallback = re.sub(r"`(\w+)`", lambda name: f"--{_option(name[1])}", fallback.rstrip("."))
    return f"{text}." + (f" [default: {fallback}]" if fallback else "")
