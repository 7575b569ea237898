"""Waiting for a run in another process."""

import time


def last_step(folder):
    """Step of the last checkpoint anywhere below a folder; -1 for none."""
    steps = [path.stem.removeprefix("step-") for path in folder.rglob("step-*.json")]
    return max(map(int, steps), default=-1)


def wait_for(what):
    """Wait until `what()` holds, for a minute at most."""
    end = time.monotonic() + 60
    while not what() and time.monotonic() < end:
        time.sleep(0.005)


def wait_for_step(folder, beyond):
    """Wait for a checkpoint of a later step."""
    wait_for(lambda: last_step(folder) > beyond)
