"""Your own arrays or data frame, and your own distribution."""

import numpy as np
import pandas as pd

from eval import mismatch_interval, nc1
from stages import TwoStageClassifier


class TwoRings:
    """Anything with sample(n, random_state) -> X, y is a distribution."""

    def sample(self, n, random_state=None):
        rng = np.random.default_rng(random_state)
        y = rng.integers(0, 2, n)
        angle = rng.uniform(0, 2 * np.pi, n)
        radius = 1 + y + rng.normal(scale=0.1, size=n)
        X = radius[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])
        return X, np.array(["inner", "outer"])[y]


def main(max_iter=1000):
    X, y = TwoRings().sample(300, random_state=0)
    frame = pd.DataFrame(X, columns=["east", "north"])

    model = TwoStageClassifier(max_iter=max_iter, random_state=0).fit(frame, y)
    features = model.set_output(transform="pandas").transform(frame)
    print(features.iloc[:3, :4])

    X_test, y_test = TwoRings().sample(10_000, random_state=1)
    fresh = pd.DataFrame(X_test, columns=frame.columns)
    error = mismatch_interval(y_test, model.predict(fresh))
    print(f"test error {error.estimate:.4f} [{error.low:.4f}, {error.high:.4f}]")
    print(f"NC1 {nc1(X, y):.3f} -> {nc1(features.to_numpy(), y):.3f}")
    return error.estimate


if __name__ == "__main__":
    main()
