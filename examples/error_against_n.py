"""Test error and NC1 against the number of training samples (compare Theorem 5.3)."""

from eval import SeparableDistribution, mean_interval, mismatch_interval, nc1, repeated_error
from stages import TwoStageClassifier


def measure(n, seed, max_iter):
    law = SeparableDistribution(n_features=20, n_classes=4, margin=0.1, random_state=seed)
    X, y = law.sample(n, random_state=1000 + seed)
    X_test, y_test = law.sample(5000, random_state=2000 + seed)
    model = TwoStageClassifier(
        activation="sigmoid", gamma=1.0, n_neurons=500, max_iter=max_iter, random_state=seed
    ).fit(X, y)
    return mismatch_interval(y_test, model.predict(X_test)), nc1(model.transform(X_test), y_test)


def main(sizes=(25, 50, 100, 200), seeds=range(3), max_iter=500):
    print(f"{'n':>5}  {'test error %  [95 %]':24}  {'NC1, test  [95 %]'}")
    errors = []
    for n in sizes:
        runs, collapses = zip(*(measure(n, seed, max_iter) for seed in seeds), strict=True)
        error, collapse = repeated_error(runs), mean_interval(collapses, within=(0, 1))
        errors.append(error.estimate)
        percent = " ".join(f"{100 * value:7.2f}" for value in error)
        print(f"{n:5d}  {percent}  {' '.join(f'{value:7.3f}' for value in collapse)}")
    return errors


if __name__ == "__main__":
    main()
