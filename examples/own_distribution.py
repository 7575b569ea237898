"""
A distribution of your own
==========================

Anything with a method ``sample(n, random_state)`` that returns inputs and labels is a
distribution: two noisy rings here. As the law is known, the test error can be measured on as many
fresh samples as its precision asks for.

The samples may come as arrays or as data frames, and the labels may be of any type.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from eval import draw_samples, mismatch_interval, nc1
from stages import TwoStageClassifier


class TwoRings:
    """Two rings with a little noise in the radius."""

    def sample(self, n, random_state=None):
        rng = np.random.default_rng(random_state)
        y = rng.integers(0, 2, n)
        angle = rng.uniform(0, 2 * np.pi, n)
        radius = 1 + y + rng.normal(scale=0.1, size=n)
        X = radius[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])
        return X, np.array(["inner", "outer"])[y]


# %%
# ``draw_samples`` calls ``sample`` and checks what it returns: shapes, finite values, at least two
# classes, and that the random state alone decides what is drawn.

X, y = draw_samples(TwoRings(), 300, 0)
frame = pd.DataFrame(X, columns=["east", "north"])
model = TwoStageClassifier(random_state=0).fit(frame, y)
features = model.set_output(transform="pandas").transform(frame)

X_test, y_test = draw_samples(TwoRings(), 10_000, 1)
error = mismatch_interval(y_test, model.predict(pd.DataFrame(X_test, columns=frame.columns)))
print(f"test error {error.estimate:.4f} [{error.low:.4f}, {error.high:.4f}]")
print(f"NC1 {nc1(X, y):.3f} of the inputs, {nc1(features.to_numpy(), y):.3f} of the features")

# %%
# No line separates two rings, so the first layer has to. The picture shows the difference of the
# two outputs, and the line where they are equal.

grid = np.stack(np.meshgrid(np.linspace(-2.6, 2.6, 120), np.linspace(-2.6, 2.6, 120)), axis=-1)
points = pd.DataFrame(grid.reshape(-1, 2), columns=frame.columns)
outputs = model.transform(points).to_numpy() @ model.coef_.T
difference = (outputs[:, 1] - outputs[:, 0]).reshape(120, 120)

figure, ax = plt.subplots(figsize=(5.5, 5), layout="constrained")
ax.contourf(grid[..., 0], grid[..., 1], difference, 20, cmap="coolwarm", alpha=0.7)
ax.contour(grid[..., 0], grid[..., 1], difference, [0.0], colors="black")
ax.scatter(*X.T, c=(y == "outer"), cmap="coolwarm", edgecolor="white", s=18)
ax.set(xlabel="east", ylabel="north", aspect="equal")
plt.show()
