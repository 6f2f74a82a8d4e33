"""The task of models/iris.mlp as a PyTorch script: python iris_torch.py iris.csv weights.pt."""

import csv
import math
import sys

import torch
from torch import nn

torch.manual_seed(1)
with open(sys.argv[1], newline="") as file:
    header, *rows = csv.reader(file)
labels = sorted({row[4] for row in rows})
x = torch.tensor([[float(cell) for cell in row[:4]] for row in rows])
y = torch.tensor([labels.index(row[4]) for row in rows])
of_class = [torch.nonzero(y == k).flatten() for k in range(len(labels))]
mixed = [rows[torch.randperm(len(rows))] for rows in of_class]
train = torch.cat([rows[: len(rows) * 4 // 5] for rows in mixed])
test = torch.cat([rows[len(rows) * 4 // 5 :] for rows in mixed])
x = (x - x[train].mean(0)) / x[train].std(0, unbiased=False)

model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, len(labels)))
loss_of = nn.CrossEntropyLoss()
optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
steps, step = 200 * math.ceil(len(train) / 16), 0
for _ in range(200):
    for batch in train[torch.randperm(len(train))].split(16):
        for group in optimizer.param_groups:
            group["lr"] = 0.0001 + (0.02 - 0.0001) * (1 + math.cos(math.pi * step / steps)) / 2
        optimizer.zero_grad()
        penalty = sum((w**2).sum() for w in (model[0].weight, model[2].weight))
        loss = loss_of(model(x[batch]), y[batch]) + 1e-4 * penalty
        loss.backward()
        optimizer.step()
        step += 1
with torch.no_grad():
    for name, part in (("train", train), ("test", test)):
        predicted = model(x[part]).argmax(1)
        print(name, (predicted == y[part]).float().mean().item())
        print(torch.bincount(len(labels) * y[part] + predicted, minlength=len(labels) ** 2).reshape(len(labels), -1))
torch.save(model.state_dict(), sys.argv[2])
