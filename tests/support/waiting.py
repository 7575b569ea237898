"""Waiting for a run in another process."""

import signal
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


def kill_at_first_job(process, folder, seconds):
    """Kill a command once its folder holds a finished job; return the kept files by name."""
    deadline = time.monotonic() + seconds
    while not list(folder.glob("jobs/[!.]*")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    # Its end closes the pipes only when the workers are gone too.
    process.communicate(timeout=60)
    return {path.name: path.read_text() for path in folder.glob("jobs/[!.]*")}
