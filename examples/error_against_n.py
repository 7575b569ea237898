"""
Test error and collapse against the number of samples
=====================================================

Theorem 5.3 bounds the test error by a constant times sqrt(log n / n). Here the error is measured
on 5,000 fresh samples for four sizes of the training set, three times each.

Collapse on the training samples says little about fresh ones when there are few of them, so NC1 is
that of the test samples.
"""

import matplotlib.pyplot as plt

from eval import SeparableDistribution, mean_interval, mismatch_interval, nc1, repeated_error
from stages import TwoStageClassifier


def measure(n, seed):
    law = SeparableDistribution(n_features=20, n_classes=4, margin=0.1, random_state=seed)
    X, y = law.sample(n, random_state=1000 + seed)
    X_test, y_test = law.sample(5000, random_state=2000 + seed)
    model = TwoStageClassifier(
        activation="sigmoid", n_neurons=300, max_iter=400, random_state=seed
    ).fit(X, y)
    return mismatch_interval(y_test, model.predict(X_test)), nc1(model.transform(X_test), y_test)


sizes, errors, collapses = [25, 50, 100, 200], [], []
for n in sizes:
    runs, values = zip(*(measure(n, seed) for seed in range(3)), strict=True)
    errors.append(repeated_error(runs))
    collapses.append(mean_interval(values, within=(0, 1)))
    print(n, " ".join(f"{100 * v:.2f} %" for v in errors[-1]), f"{collapses[-1].estimate:.3f}")

# %%
# The bars are 95 % intervals over the three repetitions, and never narrower than the number of
# test samples allows. Three repetitions make wide ones.

figure, axes = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
for ax, label, values in zip(axes, ("test error", "NC1, test"), (errors, collapses), strict=True):
    middle = [v.estimate for v in values]
    below, above = ([v.estimate - v.low for v in values], [v.high - v.estimate for v in values])
    ax.errorbar(sizes, middle, (below, above), fmt="o-", capsize=3)
    ax.set(xlabel="n", ylabel=label, ylim=(0, None), xticks=sizes)
plt.show()
