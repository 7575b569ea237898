"""One thread: small work is fast so, and does not depend on the machine. Seeds begin here."""

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import torch  # noqa: E402
from seeds import shift_seeds  # noqa: E402

torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


def pytest_addoption(parser):
    parser.addoption("--seed-offset", type=int, default=0, help="moves every seed of the tests")


def pytest_configure(config):
    shift_seeds(config.getoption("--seed-offset"))
