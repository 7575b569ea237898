"""
Stage two: ridge regression, or the joint flow
==============================================

Stage one moves the neurons with the linear layer W fixed. There are two ways to continue. Ridge
regression solves for W at once, with the neurons where they are. The joint noisy flow moves the
neurons and W together, for as many steps as you like.

Both begin with the same stage one here, because their random state is the same.
"""

import matplotlib.pyplot as plt

from eval import collapse_observers, make_linearly_separable
from stages import TwoStageClassifier

X, y = make_linearly_separable(300, random_state=0)
settings = {"n_neurons": 300, "max_iter": 300, "gamma": 1.0, "random_state": 0}
observers = collapse_observers("nc1")
models = {
    name: TwoStageClassifier(stage_two=name, **settings).fit(X, y, observers=observers)
    for name in ("linear", "flow")
}
for name, model in models.items():
    end = model.stage_two_history_
    print(f"{name:6}: loss {end['loss'][-1]:.5f}, NC1 {end['nc1'][-1]:.4f}")

# %%
# Ridge regression changes W alone, so its features, and NC1 with them, stay as stage one left
# them. The flow lowers the loss further, because it moves the neurons too.

figure, axes = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
for ax, column in zip(axes, ("loss", "nc1"), strict=True):
    first, flow = models["flow"].history_, models["flow"].stage_two_history_
    ridge = models["linear"].stage_two_history_
    ax.semilogy(first["step"], first[column], "k", label="stage one")
    ax.semilogy(first["step"][-1] + flow["step"], flow[column], label="joint flow")
    ax.semilogy(first["step"][-1] + 10, ridge[column][-1], "o", color="tab:red", label="ridge")
    ax.set(xlabel="step", ylabel=column)
axes[0].legend()
plt.show()
