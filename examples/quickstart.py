"""Train both stages on separable data: no test error, and collapsed features."""

from eval import SeparableDistribution, mismatch_interval, nc1
from stages import TwoStageClassifier


def main(n_samples=400, max_iter=1000):
    law = SeparableDistribution(n_features=20, n_classes=4, margin=0.05)
    X, y = law.sample(n_samples, random_state=0)
    X_test, y_test = law.sample(20_000, random_state=1)

    model = TwoStageClassifier(gamma=1.0, max_iter=max_iter, random_state=0).fit(X, y)

    estimate, low, high = mismatch_interval(y_test, model.predict(X_test))
    print(f"test error {100 * estimate:.3f} % [{100 * low:.3f}, {100 * high:.3f}]")
    print(f"NC1 of the inputs              {nc1(X, y):.3f}")
    print(f"NC1 of the features, training  {nc1(model.transform(X), y):.3f}")
    print(f"NC1 of the features, test      {nc1(model.transform(X_test), y_test):.3f}")
    return estimate


if __name__ == "__main__":
    main()
