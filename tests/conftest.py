"""One thread: small work is fast so, and does not depend on the machine. Seeds begin here."""

import os
import signal

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import pytest  # noqa: E402
import torch  # noqa: E402
from support.seeds import shift_seeds  # noqa: E402

# As if started in the foreground: a shell's background ignores SIGINT, `nohup` SIGHUP.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


def pytest_addoption(parser):
    parser.addoption("--seed-offset", type=int, default=0, help="moves every seed of the tests")


def pytest_configure(config):
    shift_seeds(config.getoption("--seed-offset"))


def pytest_generate_tests(metafunc):
    """A statistical test runs as it is, and with the defect that it names."""
    mark = metafunc.definition.get_closest_marker("statistical")
    if mark is not None and mark.kwargs["defect"] is not None:
        metafunc.fixturenames.append("defect")
        both = [None, mark.kwargs["defect"]]
        metafunc.parametrize("defect", both, ids=["sound", "with its defect"], indirect=True)


@pytest.fixture
def defect(request):
    """Names the two runs; :func:`pytest_pyfunc_call` builds it in."""


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem):
    """With its defect built in, a statistical test has to fail."""
    wrong = getattr(pyfuncitem, "callspec", None) and pyfuncitem.callspec.params.get("defect")
    if not wrong:
        return (yield)
    with pytest.MonkeyPatch.context() as patch:
        wrong.build_in(patch)
        try:
            yield
        except AssertionError:
            return True
    pytest.fail(f"the test does not see its defect: {wrong.description}")
