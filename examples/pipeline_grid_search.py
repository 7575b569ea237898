"""The classifier in a pipeline, its temperature and scale chosen by cross-validation."""

from sklearn.datasets import load_wine
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from stages import TwoStageClassifier


def main(max_iter=300):
    X, y = load_wine(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)
    network = TwoStageClassifier(n_neurons=200, max_iter=max_iter, random_state=0)
    search = GridSearchCV(
        make_pipeline(StandardScaler(), network),
        {
            "twostageclassifier__beta": [1e2, 1e4],
            "twostageclassifier__gamma": [1.0, 3.0],
        },
        cv=3,
    )
    search.fit(X_train, y_train)
    print("chosen:", search.best_params_)
    print(f"accuracy on held-out data: {search.score(X_test, y_test):.3f}")
    return search.score(X_test, y_test)


if __name__ == "__main__":
    main()
