"""
Collapse of any torch model, epoch by epoch
===========================================

``track_collapse`` measures a model of your own at a layer that you name: before training and after
every epoch. It hooks the layer, so the model stays as it is. Here a small network learns digits.

The table is tidy, with one row for each epoch and metric. A metric that is not defined has the
value NaN and a status that says why.
"""

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from eval import track_collapse

X, y = load_digits(return_X_y=True)
images, labels = torch.as_tensor(X, dtype=torch.float32) / 16, torch.as_tensor(y)
loader = DataLoader(TensorDataset(images, labels), batch_size=600)

with torch.random.fork_rng():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 100), nn.ReLU(), nn.Linear(100, 40), nn.ReLU())
    model.append(nn.Linear(40, 10))
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3, weight_decay=1e-4)


def train_epoch():
    for start in range(0, len(images), 100):
        optimizer.zero_grad()
        batch = slice(start, start + 100)
        nn.functional.cross_entropy(model(images[batch]), labels[batch]).backward()
        optimizer.step()


# %%
# Layer "3" is the last ReLU, and layer "4" the linear layer that its output enters. The metrics of
# the linear layer, NC3 and NC4, need the second name.

table = track_collapse(model, loader, "3", head="4", train_epoch=train_epoch, n_epochs=15)
wide = table.pivot_table(index="epoch", columns="metric", values="value")
print(wide[["nc1", "papyan", "nc2_simplex", "nc3", "nc4"]].iloc[[0, 5, 15]].round(3))

# %%
# Training and testing are not told apart here: these are the features of the training samples.

figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
for metric in ("nc1", "papyan", "cdnv", "nc2_simplex", "nc3"):
    ax.semilogy(wide.index, wide[metric], ".-", label=metric)
ax.set(xlabel="epoch", ylabel="value, 0 is collapse")
ax.legend()
plt.show()
