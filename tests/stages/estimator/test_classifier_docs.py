"""The page about scikit-learn says what runs."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[3] / "docs" / "scikit-learn.md"


def test_every_block_of_the_page_runs(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONSAFEPATH", "1")
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 9
    names = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
