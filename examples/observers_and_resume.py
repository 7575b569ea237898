"""
Observers, checkpoints, and resuming a stopped run
==================================================

An observer is a function of the state that the run calls every few steps. What it returns becomes
a column of the history. Here one measures NC1, and another one stops the run on purpose, as a
power cut would.

With a ``Checkpoint`` the same call continues from the last checkpoint in the folder. The neurons at
its end are bitwise equal to those of a run that was never stopped.
"""

from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import torch

from eval import make_linearly_separable, nc1
from gibbs import Problem, StopRun
from stages import Checkpoint, orthonormal_layer, train_mean_field

X, labels = make_linearly_separable(120, 10, 3, margin=0.1, random_state=0)
x, y = torch.as_tensor(X), torch.eye(3, dtype=torch.float64)[torch.as_tensor(labels)]
w = orthonormal_layer(8, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
problem = Problem(x, y, w, beta=1e3)


def collapse(state):
    return nc1(state.features, labels)


def power_cut(state):
    if state.step == 150:
        raise StopRun
    return 0.0


def train(observers, checkpoint=None):
    return train_mean_field(
        problem,
        n_neurons=500,
        n_steps=400,
        generator=torch.Generator().manual_seed(1),
        observers=observers,
        checkpoint=checkpoint,
    )


# %%
# The run that is stopped at step 150 had kept its last checkpoint at step 100.

whole = train({"nc1": collapse})
with TemporaryDirectory() as folder:
    kept = Checkpoint(folder, steps=100)
    stopped = train({"nc1": collapse, "cut": power_cut}, kept)
    resumed = train({"nc1": collapse}, Checkpoint(folder, steps=100))
print("stopped after", stopped.n_steps, "steps:", stopped.status.value)
print("bitwise equal:", torch.equal(resumed.particles.a, whole.particles.a))

# %%
# The history holds the loss and what the observers returned, from the first step on.

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained", sharex=True)
for ax, column in ((left, "loss"), (right, "nc1")):
    ax.semilogy(whole.history["step"], whole.history[column], linewidth=5, alpha=0.3, label="whole")
    ax.semilogy(resumed.history["step"], resumed.history[column], "k", label="stopped and resumed")
    ax.axvline(150, linestyle=":", color="grey")
    ax.set(xlabel="step", ylabel=column)
left.legend()
plt.show()
