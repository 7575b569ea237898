"""Every test of the dynamics runs on both backends: "auto" is one, then the other."""

import pytest

from gibbs.dynamics import backends


@pytest.fixture(params=["torch", "fused"], autouse=True)
def backend(request, monkeypatch):
    if request.param == "torch":
        monkeypatch.setattr(backends, "_why_not_fused", lambda _: "a test asks for torch")
    return request.param
