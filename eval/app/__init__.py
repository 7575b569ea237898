"""The application: command line, runs and figures. Needs the extra `app`."""

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
