"""What the default settings promise on separable data."""

import pytest
from support.seeds import shifted

from eval import SeparableDistribution, mismatch_error, nc1
from stages import TwoStageClassifier

FAMILIES = [
    {"n_classes": 2},
    {"n_classes": 4, "weights": (8, 4, 2, 1)},
    {"n_classes": 5, "n_informative": 3},
    {"n_classes": 4, "noise": "student"},
]


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: "-".join(map(str, family)))
def test_defaults_separate_and_collapse(family):
    law = SeparableDistribution(20, margin=0.02, random_state=shifted(7), **family)
    x, y = law.sample(400, random_state=shifted(8))
    model = TwoStageClassifier(random_state=shifted(9)).fit(x, y)
    assert mismatch_error(y, model.predict(x)) == 0
    assert nc1(model.transform(x), y) <= 0.05
