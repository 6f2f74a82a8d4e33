"""PyTorch as its tutorials write it: nn.Sequential, F.cross_entropy, torch.optim, no compilation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from .work import BETA1, BETA2, EPSILON, Floats, Ints, Work, data, weights


def prepare(work: Work) -> Callable[[Ints], Floats]:
    """Training by PyTorch in eager mode."""
    x, labels = (torch.from_numpy(a) for a in data(work))
    modules: list[torch.nn.Module] = []
    for w, b in weights(work):
        linear = torch.nn.Linear(w.shape[0], w.shape[1])
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(w.T))
            linear.bias.copy_(torch.from_numpy(b))
        modules += [linear, torch.nn.ReLU()]
    net = torch.nn.Sequential(*modules[:-1])
    if work.optimizer == "sgd":
        optimizer: torch.optim.Optimizer = torch.optim.SGD(net.parameters(), lr=work.rate)
    else:
        optimizer = torch.optim.Adam(net.parameters(), lr=work.rate, betas=(BETA1, BETA2), eps=EPSILON)

    def epoch(order: Ints) -> Floats:
        losses = torch.empty(len(order))
        for i, index in enumerate(torch.from_numpy(order)):
            loss = torch.nn.functional.cross_entropy(net(x[index]), labels[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses[i] = loss.detach()
        return losses.numpy().astype(np.float32)

    return epoch
