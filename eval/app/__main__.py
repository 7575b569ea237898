"""`python -m eval.app` is the command `gibbsnet`."""

from eval.app import main

main()
