"""Headless Chromium, driven from its command line: what a page says, shows and asks for."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--hide-scrollbars",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--virtual-time-budget=5000",
    "--enable-logging=stderr",
    "--v=0",
]


@dataclass(frozen=True)
class Visit:
    """The page after its scripts ran, its console messages, and the hosts asked for."""

    dom: str
    console: list[str]
    hosts: set[str]


def chromium() -> str:
    """Path of a Chromium; skips without one, except on continuous integration."""
    found = next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
    )
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("continuous integration must install Chromium (.ci/run does)")
        pytest.skip("no Chromium on this machine")
    return found


def visit(url: str, scratch: Path) -> Visit:
    """Open a page and wait for its scripts."""
    log = scratch / "net.json"
    done = subprocess.run(
        [chromium(), *FLAGS, f"--user-data-dir={scratch / 'profile'}", f"--log-net-log={log}"]
        + ["--dump-dom", url],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    events = json.loads(log.read_text())["events"]
    urls = [event.get("params", {}).get("url", "") for event in events]
    hosts = {urlsplit(u).netloc for u in urls if u.startswith(("http", "ws"))}
    return Visit(done.stdout, re.findall(r".*CONSOLE.*", done.stderr), hosts)


def screenshot(url: str, picture: Path, scratch: Path, width: int, height: int) -> None:
    """Take a picture of the top of a page."""
    picture.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        [chromium(), *FLAGS, f"--user-data-dir={scratch / 'shots'}"]
        + [f"--window-size={width},{height}", f"--screenshot={picture}", url],
        capture_output=True,
        timeout=120,
        check=True,
    )
