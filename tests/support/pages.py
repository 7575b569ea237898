"""The pages of the documentation, and the blocks of code on them."""

import re
import shlex
from pathlib import Path

__all__ = ["PAGES", "ROOT", "blocks", "commands", "prose"]

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path
    for path in [ROOT / "README.md", *(ROOT / "docs").glob("**/*.md")]
    if "_build" not in path.parts
)
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks(page):
    """Language and text of every fenced block, in order."""
    return FENCE.findall(page.read_text(encoding="utf-8"))


def prose(page):
    """The page without its fenced blocks."""
    text = page.read_text(encoding="utf-8")
    return re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)


def commands(page):
    """Arguments of every call of ``gibbsnet``: in blocks of shell, and between backticks."""
    shell = "\n".join(text for language, text in blocks(page) if language == "sh")
    lines = shell.replace("\\\n", " ").splitlines()
    inline = re.findall(r"`(gibbsnet [^`]+)`", " ".join(prose(page).split()))
    words = [shlex.split(line, comments=True) for line in [*lines, *inline]]
    return [line[1:] for line in words if line[:1] == ["gibbsnet"]]
