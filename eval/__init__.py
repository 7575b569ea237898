"""Evaluation: data, test error, neural collapse, statements of the theory, distances, baselines.

Every public name is imported from here, when it is first used: `__init__.pyi` says from where.
Those of tuned comparisons are imported from `eval.comparison`. Below are one package for each
subject, and modules that all of them use.

- `data`: data sets and distributions, by name, from files and from code.
- `collapse`: NC1 to NC4, the balance of the layers. `theory`: the paper's statements, checked.
- `separation`: margins and proofs. `distances`: of clouds of neurons to a law.
- `comparison`: other classifiers on the same folds. `app`: the command line.
- `accuracy`: the mismatch error, and intervals.
- `reading`: arrays and labels of a user. `extras`: optional dependencies.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
