"""
Quickstart: train, test, and see the collapse
=============================================

Four classes in 20 dimensions can be separated by linear rules, but they overlap in every picture
of the inputs. We train a network in two stages, measure its error on fresh samples, and look at
what became of the samples on the way to the last layer.
"""

import matplotlib.pyplot as plt
import numpy as np

from eval import SeparableDistribution, mismatch_interval, nc1
from stages import TwoStageClassifier

distribution = SeparableDistribution(n_features=20, n_classes=4, margin=0.05)
X, y = distribution.sample(400, random_state=0)
X_test, y_test = distribution.sample(20_000, random_state=1)

model = TwoStageClassifier(gamma=1.0, random_state=0).fit(X, y)
error = mismatch_interval(y_test, model.predict(X_test))
print(f"test error {100 * error.estimate:.3f} % [{100 * error.low:.3f}, {100 * error.high:.3f}]")

# %%
# NC1 is the part of the variance that lies within the classes: 1 where the class means are equal,
# 0 where every sample sits on the mean of its class. It is small on the test samples too, so the
# collapse is more than a memory of the training samples.

H, H_test = model.transform(X), model.transform(X_test)
for name, points, labels in [
    ("inputs", X, y),
    ("training features", H, y),
    ("test features", H_test, y_test),
]:
    print(f"NC1 of the {name:17} {nc1(points, labels):.3f}")


# %%
# We draw inputs and features on the plane that holds most of their class means.


def on_plane_of_means(points, labels):
    means = np.stack([points[labels == k].mean(axis=0) for k in np.unique(labels)])
    centre = means.mean(axis=0)
    plane = np.linalg.svd(means - centre, full_matrices=False)[2][:2]
    return (points - centre) @ plane.T


figure, axes = plt.subplots(1, 2, figsize=(9, 4.2), layout="constrained")
for ax, title, points in zip(axes, ("inputs", "features h(x)"), (X_test, H_test), strict=True):
    shown = on_plane_of_means(points, y_test)[:1500]
    ax.scatter(*shown.T, c=y_test[:1500], cmap="tab10", vmax=9, s=6, alpha=0.6)
    ax.set(title=title, xticks=[], yticks=[], aspect="equal")
plt.show()
