"""One word for each quantity: this script looks for words that have been retired.

The words in use are in docs/glossary.md. Keys and names in files on disk stay as they are: those
in quotation marks are not looked at where a pattern says so.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PLACES = ("gibbs", "stages", "eval", "examples", "docs", "README.md")
SUFFIXES = {".py", ".md", ".rst", ".j2"}
MADE_BY_SPHINX = {ROOT / "docs" / name for name in ("_build", "gallery")}

RETIRED = {
    # Identifiers.
    r"(?<![\"'])\b_?tilts\b|(?<![Ll]og )\b_?tilts?\b(?![\"'])|\b(tilts_\w+|mean_tilt)\b": (
        "log tilt, `log_tilt`"
    ),
    r"\b_?pull(s|ed)?\b": "local field c, or `feature_gradient`",
    r"\bstrength\b": "`kernel_scale`",
    r"\bpotential_gradient\b": "`first_variation_gradient`",
    r"\b_?force_sum\b|\b_?forces\b": "`feature_gradients`",
    r"\bREACH\b|\breach = |\breach,|\breach:|\breach\[|\b\w+_reach\b": "`truncated` or `extent`",
    r"\b[Ss]couts?\b|\bvisitors\b|\bhot starts?\b": "overdispersed chains",
    r"\bKeeper\b|\bkeeper\b|\bkeep=|\brun_kept\b": "`on_record`, `run_checkpointed`",
    r"\bFlowRound\b|\bmean_field_flow\b|\bflow of u\b": "marginal descent",
    r"\bDraw[(\]]|\bclass Draw\b": "`WeightedSample`",
    r"\b_?surround\b": "`fit_proposal`",
    r"\bjudge\(": "`replay_certificate`",
    r"\b_?climb(s|ed|ing)?\b|\bClimbing\b": "ascent",
    r"\bsettle\(": "`refine_rule`, or `flush` of pending noise",
    r"\b[Gg]limpses?\b": "`BatchNoise`, `on_batch`",
    r"\b[Vv]erdicts?\b(?!\")": "certificate, result, or `describe_...`",
    # Phrases.
    r"\b((is|are|was|were|be) )?told\b(?! apart)": "is called with, is printed, is shown",
    r"\b[Gg]o(es|ing)? on\b|\bgone on\b": "continue",
    r"\bfor ever and\b|\bas ever\b": "as before",
    r"\b(what|which) it causes\b|\bcomes on top\b": "a plain sentence",
    r"\blet off\b": "accepted at ... of the usual size",
    r"\bcries wolf\b|\bcry wolf\b": "gives a false alarm",
    r"\basks? a law\b": "draws samples from a law",
    r"\bdoes not show in\b": "bitwise equal to",
    r"\bstands? still\b": "has converged",
    r"\b(held?|holds?) (\w+ ){0,3}against\b": "compared with",
    r"\bas if nothing had happened\b": "bitwise equal to an uninterrupted run",
    r"\banew\b": "again",
    r"\bno say\b": "no influence",
    r"\b[Ww]hat it takes to\b": "the state, the requirements",
}
"""Patterns of retired words and phrases, with the word to use instead."""


def complaints(text: str) -> Iterator[tuple[int, str, str]]:
    """Line number, the retired words, and what to use instead, for each occurrence in a text."""
    for number, line in enumerate(text.splitlines(), 1):
        for pattern, instead in RETIRED.items():
            for found in re.finditer(pattern, line):
                yield number, found.group().strip(), instead


def files(root: Path = ROOT) -> list[Path]:
    """The files whose words are looked at."""
    found = [path for place in PLACES for path in (root / place).rglob("*")]
    return sorted(
        path
        for path in [*found, root / "README.md"]
        if path.is_file() and path.suffix in SUFFIXES and not MADE_BY_SPHINX & set(path.parents)
    )


def main(root: Path = ROOT) -> int:
    """Print what was found; 1 if anything was."""
    found = [
        f"{path.relative_to(root)}:{line}: {word!r} is retired: {instead}"
        for path in files(root)
        for line, word, instead in complaints(path.read_text(encoding="utf-8"))
    ]
    print("\n".join(found) or "no retired words")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
