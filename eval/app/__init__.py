"""The application, which needs the extra gibbsnet[app].

`cli` puts the commands together, and each has a package of its own: `run` trains, `report` draws
what a run left, `certify` bounds how far its neurons are from the minimizer, `predict` classifies
with its network, `check` decides whether samples are separable, `compare` runs other classifiers
beside, `study` runs many small trainings, and `figure` redraws the paper's figures. `shared` is
what several of them use.

What reads the options imports click and the standard library alone, and the rest when a command
runs: so ``gibbsnet --help`` and a refused option take a moment, not seconds.
"""

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command `gibbsnet`; without its extra, say how to install it."""
    try:
        from eval.app.cli import main as command
    except ModuleNotFoundError as error:
        sys.stderr.write(
            f"gibbsnet: the command line needs {error.name}: pip install 'gibbsnet[app]'\n"
        )
        sys.exit(2)
    command()
