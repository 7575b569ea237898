"""
How far is a cloud of neurons from the law it should follow?
============================================================

A distance between two clouds is never zero, even if both are samples of one law. So every distance
here comes with its value under that hypothesis, and with a p-value.

The law is the Gibbs minimizer of four samples, which quadrature solves. The clouds are neurons
after more and more steps of the noisy dynamics.
"""

import matplotlib.pyplot as plt
import torch

from eval import feature_error, sliced_wasserstein
from gibbs import Problem, run_langevin, sample_normal, solve_gibbs

generator = torch.Generator().manual_seed(0)
x = torch.tensor([[0.9], [0.7], [-0.8], [-0.6]], dtype=torch.float64)
y = torch.eye(2, dtype=torch.float64)[[0, 0, 1, 1]]
problem = Problem(x, y, torch.eye(2, dtype=torch.float64), beta=50.0, gamma=2.0, lambda_rho=0.05)
measure = solve_gibbs(problem, generator=generator).measure
exact = measure.sample(300, generator=generator)
others = [measure.sample(300, generator=generator) for _ in range(39)]
start = sample_normal(problem, 300, generator=generator)

steps, rows = [3, 10, 30, 100], []
for n_steps in steps:
    neurons = run_langevin(problem, start, n_steps=n_steps, generator=generator).particles
    sliced = sliced_wasserstein(neurons, exact, reference=others, n_null=39)
    features = feature_error(neurons, measure, [[0.3], [-0.1]])
    rows.append((sliced, features))
    print(f"{n_steps:3d} steps: p = {sliced.p_value:.2f}, feature error {features.value:.3f}")

# %%
# The band is mean and two standard deviations of exact clouds of the same size. The features are
# right long before the law is: they only need the mean over the neurons.

titles = ("sliced Wasserstein distance", "relative error of the features")
figure, axes = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
for ax, title, values in zip(axes, titles, zip(*rows, strict=True), strict=True):
    centre = torch.tensor([v.same_law for v in values])
    spread = 2 * torch.tensor([v.same_law_sd for v in values])
    ax.fill_between(steps, centre - spread, centre + spread, alpha=0.3, label="exact clouds")
    ax.semilogx(steps, [v.value for v in values], "k.-", label="neurons")
    ax.set(xlabel="steps", ylabel=title, ylim=(0, None))
axes[0].legend()
plt.show()
