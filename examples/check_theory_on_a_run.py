"""
The paper's statements, checked on a solved minimizer
=====================================================

``check_theory`` evaluates both sides of every statement of the paper that one law can decide. Each
row of its table reads left <= right, as the paper prints it, and where that is wrong or loose also
in a corrected and a sharp form.

At gamma = 10 the bound on NC1 of Corollary 4.4 fails as it is printed. The reason is a missing
factor gamma; the corrected form and the sharp one hold.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch

from eval import check_theory
from gibbs import Problem, solve_gibbs

x = torch.tensor([[-1.0, -0.9, -0.8, -0.7, 0.65, 0.75, 0.85, 0.95]], dtype=torch.float64).T
y = torch.eye(2, dtype=torch.float64)[[0, 0, 0, 0, 1, 1, 1, 1]]
w = torch.eye(3, dtype=torch.float64)[:, :2]
problem = Problem(x, y, w, beta=1e4, gamma=10.0)
measure = solve_gibbs(problem, generator=torch.Generator().manual_seed(0)).measure
table = check_theory(problem, measure)
for row in table.contradictions:
    print(f"{row.name}, {row.version}: {row.left:.3g} is not <= {row.right:.3g}")

# %%
# The picture shows right/left for every row with two positive sides: a bound holds where the dot
# lies to the right of the line, and is sharp where it lies on it. Lemma 4.5 is about stationary
# points in both layers, which this law is not: the table says so in the assumptions of its rows.

rows = [row for row in table if row.left > 1e-12 and 0 < row.right < np.inf]
colors = {"printed": "tab:red", "corrected": "tab:orange", "sharp": "tab:blue"}
figure, ax = plt.subplots(figsize=(7, 6), layout="constrained")
for height, row in enumerate(rows):
    ax.semilogx(row.right / row.left, height, "o", color=colors[row.version])
for version, color in colors.items():
    ax.plot([], [], "o", color=color, label=version)
ax.axvline(1, color="black", linewidth=1)
ax.set_yticks(range(len(rows)), [row.name for row in rows], fontsize=8)
ax.set(xlabel="right side over left side")
ax.invert_yaxis()
ax.legend()
plt.show()
