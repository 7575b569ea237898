"""
Beside other classifiers, on the same folds
===========================================

``compare_baselines`` cross-validates the network beside scikit-learn classifiers on the same
folds, each behind the same standardization. All settings are fixed before the data are seen. A
comparison in which every method is tuned alike is ``gibbsnet compare --tuned``.

Any scikit-learn estimator can stand beside the network, a pipeline too.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures

from eval import compare_baselines
from stages import TwoStageClassifier

result = compare_baselines(
    *load_wine(return_X_y=True),
    folds=5,
    models={
        "logistic regression": LogisticRegression(),
        "its squares": make_pipeline(PolynomialFeatures(2), LogisticRegression(max_iter=1000)),
        "5-NN": KNeighborsClassifier(5),
    },
    network=TwoStageClassifier(n_neurons=300, max_iter=300, random_state=0),
)

# %%
# The intervals are 95 % and count that the folds share training samples. On 178 samples they
# overlap: these data cannot tell the methods apart.

figure, ax = plt.subplots(figsize=(6.5, 2.8), layout="constrained")
for row, method in enumerate(result.methods):
    estimate, low, high = result.test_error(method)
    print(f"{method:20} {100 * estimate:5.2f} % [{100 * low:.2f}, {100 * high:.2f}]")
    ax.plot([100 * low, 100 * high], [row, row], color="tab:blue")
    ax.plot(100 * estimate, row, "o", color="tab:blue")
ax.set_yticks(range(len(result.methods)), result.methods)
ax.invert_yaxis()
ax.set(xlabel="test error, %", xlim=(0, None))
plt.show()
