"""Options for the parameters of the network: names, kinds, defaults and help are the class's."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any, Literal, get_args, get_origin, get_type_hints

import click

from stages import TwoStageClassifier

__all__ = ["DEFAULTS", "network_options"]

LEFT_OUT = ("class_weight", "warm_start", "dtype", "random_state", "n_threads", "verbose")
"""Parameters that have no option of their own."""

SHORTER = {
    "n_hidden_features": "hidden-features",
    "n_neurons": "neurons",
    "max_iter": "steps",
    "flow_max_iter": "flow-steps",
}
"""Options that are not named like their parameter."""

DEFAULTS = {
    name: parameter.default
    for name, parameter in inspect.signature(TwoStageClassifier).parameters.items()
}
"""Of every parameter of the network."""


def network_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command an option for each parameter; None stands for one that was left out."""
    hints, sentences = get_type_hints(TwoStageClassifier.__init__), _sentences()
    for name in reversed([name for name in DEFAULTS if name not in LEFT_OUT]):
        option, kind = f"--{_option(name)}", _kind(hints[name])
        if kind is bool:
            option = f"{option}/--no-{_option(name)}"
        text = _help(sentences.get(name, ""), DEFAULTS[name])
        command = click.option(option, name, type=kind, default=None, help=text)(command)
    return command


def _option(name: str) -> str:
    return SHORTER.get(name, name.replace("_", "-"))


def _kind(hint: Any) -> Any:
    """What the text of an option is read as: a choice, or the first type that a text can give."""
    if get_origin(hint) is Literal:
        return click.Choice(get_args(hint))
    return next(kind for kind in (bool, int, float, str) if kind in (hint, *get_args(hint)))


def _sentences() -> dict[str, str]:
    """The first sentence that the docstring has about each parameter."""
    _, _, section = (inspect.getdoc(TwoStageClassifier) or "").partition("Parameters\n")
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
