"""What PyTorch says of every activation, loss, layer, optimizer and schedule of std: makes tests/figures/torch_*.json.

Run, in an environment that has torch 2.13 and mpmath (mlpc needs neither):  python benchmarks/torch_figures.py

All in float64. A case's `call` is text of the language with z, y and w for its inputs; `value` is what the oracle says of it,
`gradient` that of sum(c * value) with respect to z. What is smooth is computed by mpmath at 60 digits beside it, and where
torch is further away than 1e-13 * max(1, |exact|) the exact number stands in the file and the case says so.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import math
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

FIGURES = Path(__file__).parent.parent / "tests" / "figures"
NEAR = 1e-13  # times max(1, |exact|): what may lie between torch and mpmath

Numbers = list[Any]

# Ordinary and extreme: 0, what vanishes beside 1, kinks and their neighbours, both sides of torch's thresholds, overflow of exp.
SIZES = [
    1e-300,
    1e-8,
    1e-3,
    0.1,
    0.5,
    1.0,
    1.7,
    2.5,
    3.0,
    3.0000001,
    5.0,
    6.0,
    10.0,
    19.9,
    20.1,
    30.0,
    37.0,
    88.0,
    100.0,
    709.0,
    710.0,
    746.0,
    1e3,
    1e6,
]
POINTS = [[-s] for s in reversed(SIZES)] + [[0.0]] + [[s] for s in SIZES]

LOGITS = [
    [0.0, 0.0, 0.0], [1.0, -2.0, 0.5], [1e-8, -1e-8, 0.0], [20.0, -20.0, 1.0], [-20.0, 20.1, 19.9], [1e3, -1e3, 0.0], [-1e3, 1e3, 1e3],
    [1e3, 1e3, 1e3], [-1e3, -1e3, -1e3], [700.0, 710.0, 746.0], [0.3, 0.3, -40.0], [3.0, -1.0, 2.0],
]  # fmt: skip
CLASSES = [0, 1, 2, 0, 1, 0, 0, 2, 1, 2, 2, 0]
ONEHOT = [[float(k == c) for k in range(3)] for c in CLASSES]
SOFT = [[0.2, 0.3, 0.5], [1.0, 0.0, 0.0], [0.125, 0.125, 0.75]] * 4
PAIRS = [
    [0.0, 0.0], [0.5, 0.0], [-0.5, 1.0], [1e-8, 0.0], [-1e-8, 0.0], [1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [2.0, 0.5], [20.0, 1.0], [-20.0, 1.0],
    [20.1, -20.1], [1e3, 0.0], [-1e3, 0.0], [1e3, 1.0], [-1e3, 1.0], [3.0, 3.0],
]  # fmt: skip


def main() -> None:
    """Makes every file, or says what is missing."""
    if not (importlib.util.find_spec("torch") and importlib.util.find_spec("mpmath")):
        print("torch or mpmath is not installed here: pip install torch==2.13.0 mpmath. The files stay as they are.")
        return
    FIGURES.mkdir(exist_ok=True)
    torch: Any = importlib.import_module("torch")
    mp: Any = importlib.import_module("mpmath").mp
    torch.set_default_dtype(torch.float64)
    mp.dps = 60
    write("activations", torch, activations(torch, mp))
    write("losses", torch, losses(torch, mp))
    write("layers", torch, layers(torch, mp))
    write("optimizers", torch, optimizers(torch))
    write("schedules", torch, schedules(torch))


def write(name: str, torch: Any, figures: dict[str, Any]) -> None:
    """tests/figures/torch_<name>.json, one case a line."""
    cases = figures.pop("cases")
    head = {"made_by": "benchmarks/torch_figures.py", "oracle": f"torch {torch.__version__}", **figures}
    lines = [f" {json.dumps(k)}: {json.dumps(v, allow_nan=False)}" for k, v in head.items()]
    told = ",\n".join(f"  {json.dumps(case, allow_nan=False)}" for case in cases)
    path = FIGURES / f"torch_{name}.json"
    path.write_text("{\n" + ",\n".join(lines) + ',\n "cases": [\n' + told + "\n ]\n}\n", "utf-8")
    corrected = [f"{c['call']} ({c['exact']})" for c in cases if c.get("exact")]
    print(
        f"{path.name}: {len(cases)} cases, {path.stat().st_size // 1024} KiB"
        + (f"; by mpmath: {', '.join(corrected)}" if corrected else "")
    )


def cotangents(rows: int) -> Numbers:
    """One number a row, so that no gradient is that of a plain sum."""
    return [[(1.0, -0.5, 2.0)[i % 3]] for i in range(rows)]


def differentiated(torch: Any, f: Callable[[Any], Any], z: Numbers, c: Numbers) -> tuple[Numbers, Numbers]:
    """(value, gradient) of f at z; the values have one column."""
    leaf = torch.tensor(z, requires_grad=True)
    value = f(leaf)
    (value * torch.tensor(c)).sum().backward()
    return value.detach().tolist(), leaf.grad.tolist()


def corrected(case: dict[str, Any], value: Numbers, gradient: Numbers) -> dict[str, Any]:
    """The case with the exact numbers where torch's are further away than NEAR."""
    wrong: list[str] = []
    for key, exact in (("value", value), ("gradient", gradient)):
        for row, known in zip(case[key], exact, strict=True):
            for i, number in enumerate(known):
                if not abs(row[i] - number) <= NEAR * max(1.0, abs(number)):
                    row[i] = number
                    wrong.append(key)
    return case | ({"exact": f"mpmath for {wrong.count('value')} values and {wrong.count('gradient')} gradients"} if wrong else {})


# --- activations ---------------------------------------------------------------------------------


def activations(torch: Any, mp: Any) -> dict[str, Any]:
    """Each at POINTS; the rowwise ones at LOGITS, where the gradient is that of the first column's values."""
    f = torch.nn.functional
    e, one = mp.exp, mp.mpf(1)

    def unit(x: Any, alpha: Any) -> Any:
        return x if x > 0 else alpha * mp.expm1(x)

    def sigmoid(x: Any) -> Any:
        return one / (one + e(-x))

    def softplus(x: Any) -> Any:
        return mp.log1p(e(x))

    root = mp.sqrt(2 / mp.pi)
    # call -> (the name in torch, torch's function, mpmath's where it is smooth)
    table: dict[str, tuple[str, Any, Any]] = {
        "identity(z)": ("nn.Identity", torch.nn.Identity(), None),
        "relu(z)": ("relu", f.relu, None),
        "relu6(z)": ("relu6", f.relu6, None),
        "leaky_relu(z)": ("leaky_relu", f.leaky_relu, None),
        "leaky_relu(z, 0.2)": ("leaky_relu(slope 0.2)", lambda x: f.leaky_relu(x, 0.2), None),
        "elu(z)": ("elu", f.elu, lambda x: unit(x, one)),
        "elu(z, alpha = 0.5)": ("elu(alpha 0.5)", lambda x: f.elu(x, 0.5), None),
        "celu(z)": ("celu", f.celu, lambda x: unit(x, one)),
        "celu(z, alpha = 2)": ("celu(alpha 2)", lambda x: f.celu(x, 2.0), lambda x: x if x > 0 else 2 * mp.expm1(x / 2)),
        "selu(z)": ("selu", f.selu, None),
        "gelu(z)": ("gelu", f.gelu, lambda x: x * mp.erfc(-x / mp.sqrt(2)) / 2),
        "gelu_tanh(z)": ("gelu(tanh)", lambda x: f.gelu(x, approximate="tanh"),
                         lambda x: x * (1 + mp.tanh(root * (x + mp.mpf("0.044715") * x**3))) / 2),
        "silu(z)": ("silu", f.silu, lambda x: x * sigmoid(x)),
        "mish(z)": ("mish", f.mish, lambda x: x * mp.tanh(softplus(x))),
        "softplus(z)": ("softplus(threshold 20)", f.softplus, softplus),
        "softplus(z, beta = 3)": ("softplus(beta 3)", lambda x: f.softplus(x, 3.0), lambda x: softplus(3 * x) / 3),
        "softsign(z)": ("softsign", f.softsign, None),
        "sigmoid(z)": ("sigmoid", torch.sigmoid, sigmoid),
        "tanh(z)": ("tanh", torch.tanh, mp.tanh),
        "hard_sigmoid(z)": ("relu6(z + 3) / 6: hardsigmoid's own gradient is a sixth in float32", lambda x: f.relu6(x + 3) / 6, None),
        "hard_swish(z)": ("hardswish", f.hardswish, None),
    }  # fmt: skip
    c = cotangents(len(POINTS))
    cases: list[dict[str, Any]] = []
    for call, (name, function, exact) in table.items():
        value, gradient = differentiated(torch, function, POINTS, c)
        case = {"call": call, "torch": name, "at": "points", "value": value, "gradient": gradient}
        if exact is not None:
            case = corrected(case, *smooth(mp, exact, POINTS, c))
        cases.append(case)
    rows = cotangents(len(LOGITS))
    for call, name, function in (
        ("softmax(z)[:, 0]", "softmax", lambda x: f.softmax(x, -1)[:, :1]),
        ("log_softmax(z)[:, 0]", "log_softmax", lambda x: f.log_softmax(x, -1)[:, :1]),
    ):
        value, gradient = differentiated(torch, function, LOGITS, rows)
        cases.append({"call": call, "torch": name, "at": "logits", "value": value, "gradient": gradient})
    return {"points": POINTS, "logits": LOGITS, "cases": cases}


def smooth(mp: Any, f: Callable[[Any], Any], z: Numbers, c: Numbers) -> tuple[Numbers, Numbers]:
    """(value, gradient) by mpmath."""
    value = [[float(f(mp.mpf(x)))] for (x,) in z]
    step = mp.mpf(10) ** -25  # a central difference at 60 digits: 1e-35 from rounding, 1e-50 f''' from the step
    slope = [(f(mp.mpf(x) + step) - f(mp.mpf(x) - step)) / (2 * step) for (x,) in z]
    return value, [[float(k * s)] for (k,), s in zip(c, slope, strict=True)]


# --- losses --------------------------------------------------------------------------------------


def losses(torch: Any, mp: Any) -> dict[str, Any]:
    """Each a number per row. z are logits where the loss takes a distribution: `cross_entropy(softmax(z), y)`."""
    f = torch.nn.functional
    tensor = torch.tensor
    weights = [0.5, 2.0, 3.0]

    def entropy(y: Numbers, smoothing: float = 0.0, weight: Any = None) -> Callable[[Any], Any]:
        return lambda z: f.cross_entropy(z, tensor(y), weight, reduction="none", label_smoothing=smoothing)[:, None]

    def binary(weight: Any = None, smoothing: float = 0.0) -> Callable[[Any], Any]:
        t = tensor(ONEHOT) * (1 - smoothing) + smoothing / 2
        return lambda z: f.binary_cross_entropy_with_logits(z, t, weight, reduction="none").mean(-1, keepdim=True)

    def divergence(z: Any) -> Any:
        return f.kl_div(f.log_softmax(z, -1), tensor(SOFT), reduction="none").sum(-1, keepdim=True)

    def focal(gamma: float) -> Callable[[Any], Any]:
        def value(z: Any) -> Any:
            logs = f.log_softmax(z, -1)
            return -(tensor(ONEHOT) * (1 - logs.exp()) ** gamma * logs).sum(-1, keepdim=True)

        return value

    def binary_focal(y: Any) -> Callable[[Any], Any]:  # torchvision.ops.sigmoid_focal_loss(alpha = -1, gamma = 2)
        def value(z: Any) -> Any:
            p = torch.sigmoid(z)
            entropy = f.binary_cross_entropy_with_logits(z, y, reduction="none")
            return entropy * (1 - (p * y + (1 - p) * (1 - y))) ** 2

        return value

    def rows(elementwise: Callable[[Any, Any], Any], y: Numbers) -> Callable[[Any], Any]:
        return lambda z: elementwise(z, tensor(y)).mean(-1, keepdim=True)

    def pinball(q: float) -> Callable[[Any, Any], Any]:  # at 0 the slope of the second side, as max(a, b) has it here
        return lambda p, y: torch.where(y > p, q * (y - p), (q - 1) * (y - p))

    left, right = [[a] for a, _ in PAIRS], [[b] for _, b in PAIRS]
    labels = [[float(i % 2)] for i in range(len(POINTS))]
    rates = [[z] for z in (-1e3, -700.0, -20.0, -1.0, -1e-8, 0.0, 1e-8, 1.0, 5.0, 20.0)]
    counts = [[float(k)] for k in (0, 3, 1, 2, 0, 1, 7, 2, 150, 4)]
    per_class = tensor(weights)
    w = [weights] * len(LOGITS)
    table: list[tuple[str, str, Numbers, Numbers, Callable[[Any], Any]]] = [
        ("cross_entropy(softmax(z), y)", "cross_entropy", LOGITS, ONEHOT, entropy(ONEHOT)),
        ("cross_entropy(softmax(z), y)", "cross_entropy", LOGITS, SOFT, entropy(SOFT)),
        ("cross_entropy_with_logits(z, y)", "cross_entropy", LOGITS, ONEHOT, entropy(ONEHOT)),
        ("cross_entropy_with_logits(z, y)", "cross_entropy", LOGITS, SOFT, entropy(SOFT)),
        ("cross_entropy_with_logits(z, y, smoothing = 0.1)", "cross_entropy(label_smoothing 0.1)", LOGITS, ONEHOT, entropy(ONEHOT, 0.1)),
        ("cross_entropy_with_logits(z, y, weight = w)", "cross_entropy(weight)", LOGITS, ONEHOT, entropy(ONEHOT, 0.0, per_class)),
        ("cross_entropy_with_logits(z, y, 0.1, w)", "cross_entropy(label_smoothing 0.1, weight)", LOGITS, ONEHOT, entropy(ONEHOT, 0.1, per_class)),
        ("cross_entropy_with_logits(z, y, weight = 1 + 4 * y[:, 2])", "cross_entropy(weight 1 1 5)", LOGITS, ONEHOT,
         entropy(ONEHOT, 0.0, tensor([1.0, 1.0, 5.0]))),
        ("binary_cross_entropy(sigmoid(z), y)", "binary_cross_entropy_with_logits", LOGITS, ONEHOT, binary()),
        ("binary_cross_entropy_with_logits(z, y)", "binary_cross_entropy_with_logits", LOGITS, ONEHOT, binary()),
        ("binary_cross_entropy_with_logits(z, y, smoothing = 0.1)", "binary_cross_entropy_with_logits", LOGITS, ONEHOT, binary(None, 0.1)),
        ("binary_cross_entropy_with_logits(z, y, weight = w)", "binary_cross_entropy_with_logits(weight)", LOGITS, ONEHOT, binary(per_class)),
        ("kl(softmax(z), y)", "kl_div", LOGITS, SOFT, divergence),
        ("focal(softmax(z), y)", "(1 - p)^2 times cross_entropy", LOGITS, ONEHOT, focal(2.0)),
        ("focal(softmax(z), y, gamma = 3)", "(1 - p)^3 times cross_entropy", LOGITS, ONEHOT, focal(3.0)),
        ("focal(sigmoid(z), y)", "sigmoid_focal_loss", POINTS, labels, binary_focal(tensor(labels))),
        ("mse(z, y)", "mse_loss", left, right, rows(lambda p, y: (p - y) ** 2, right)),
        ("mse(z, y)", "mse_loss", LOGITS, SOFT, rows(lambda p, y: f.mse_loss(p, y, reduction="none"), SOFT)),
        ("mae(z, y)", "l1_loss", left, right, rows(lambda p, y: f.l1_loss(p, y, reduction="none"), right)),
        ("huber(z, y)", "huber_loss", left, right, rows(lambda p, y: f.huber_loss(p, y, reduction="none"), right)),
        ("huber(z, y, delta = 0.5)", "huber_loss(delta 0.5)", LOGITS, SOFT,
         rows(lambda p, y: f.huber_loss(p, y, reduction="none", delta=0.5), SOFT)),
        ("hinge(z, y)", "relu(1 - t * z), t = 2 * y - 1", LOGITS, ONEHOT, rows(lambda p, y: f.relu(1 - (2 * y - 1) * p), ONEHOT)),
        ("poisson_nll(z, y)", "poisson_nll_loss(log_input, not full)", rates, counts,
         rows(lambda p, y: f.poisson_nll_loss(p, y, reduction="none"), counts)),
        ("quantile(z, y)", "where(y > p, q (y - p), (q - 1)(y - p))", left, right, rows(pinball(0.5), right)),
        ("quantile(z, y, q = 0.9)", "where(y > p, q (y - p), (q - 1)(y - p))", left, right, rows(pinball(0.9), right)),
    ]  # fmt: skip
    cases: list[dict[str, Any]] = []
    for call, name, z, y, function in table:
        value, gradient = differentiated(torch, function, z, cotangents(len(z)))
        cases.append(
            {"call": call, "torch": name, "z": z, "y": y, **({"w": w} if "w)" in call else {}), "value": value, "gradient": gradient}
        )
    distances = [mp.mpf(a) - mp.mpf(b) for a, b in PAIRS]
    cosh = [[float(mp.log(mp.cosh(d)))] for d in distances]
    slopes = [[float(k * mp.tanh(d))] for d, (k,) in zip(distances, cotangents(len(PAIRS)), strict=True)]
    exact = "all of it: torch has no log_cosh"
    cases.append({"call": "log_cosh(z, y)", "torch": "", "exact": exact, "z": left, "y": right, "value": cosh, "gradient": slopes})
    return {"cases": cases, "balanced": balanced(torch)}


def balanced(torch: Any) -> dict[str, Any]:
    """The weights n / (k * bincount(y)), as scikit-learn's class_weight = "balanced" has them; values, torch's mean and its gradient."""
    f, classes = torch.nn.functional, torch.tensor(CLASSES)
    weights = len(CLASSES) / (3 * torch.bincount(classes).double())
    leaf = torch.tensor(LOGITS, requires_grad=True)
    value = f.cross_entropy(leaf, classes, weights, reduction="none")[:, None]
    mean = f.cross_entropy(leaf, classes, weights)
    mean.backward()
    return {
        "z": LOGITS,
        "classes": CLASSES,
        "weights": weights.tolist(),
        "value": value.tolist(),
        "mean": mean.item(),
        "gradient": leaf.grad.tolist(),
    }


# --- layers --------------------------------------------------------------------------------------


def layers(torch: Any, mp: Any) -> dict[str, Any]:
    """Two steps of gradient descent at a rate of 1, so that the second has a gain and a bias of its own: value and gradients of both."""
    f = torch.nn.functional
    z = [
        [0.0, 0.0, 0.0, 0.0], [1.0, -2.0, 0.5, 3.0], [1e-8, -1e-8, 0.0, 2e-8], [1e3, -1e3, 500.0, 1.0], [1e3, 1e3, 1e3, 1e3],
        [20.0, 19.0, 18.0, 17.0], [1e6, 0.0, -1e6, 1e5], [-0.1, 0.2, -0.3, 0.4],
    ]  # fmt: skip
    weigh = [[1.0, -0.5, 0.25, 2.0]] * len(z)
    table: dict[str, Callable[[Any, list[Any]], Any]] = {
        "layer_norm(z)": lambda x, p: f.layer_norm(x, (4,), p[0], p[1], 1e-5),
        "layer_norm(z, eps = 0.1)": lambda x, p: f.layer_norm(x, (4,), p[0], p[1], 0.1),
        "rms_norm(z)": lambda x, p: f.rms_norm(x, (4,), p[0], 1e-5),
        "rms_norm(z, eps = 0.1)": lambda x, p: f.rms_norm(x, (4,), p[0], 0.1),
    }
    cases: list[dict[str, Any]] = []
    for call, function in table.items():
        names = ["gain", "bias"] if call.startswith("layer") else ["gain"]
        exact = torch.tensor(gain_gradient(mp, z, weigh, centred="layer" in call, eps=0.1 if "eps" in call else 1e-5))
        params, off = [torch.ones(4), torch.zeros(4)][: len(names)], 0.0
        found: list[dict[str, Any]] = []
        for _ in range(2):
            x = torch.tensor(z, requires_grad=True)
            leaves = [p.clone().requires_grad_() for p in params]
            value = function(x, leaves)
            (value * torch.tensor(weigh)).sum().backward()
            off = max(off, ((leaves[0].grad - exact).abs() / exact.abs().clamp(min=1)).max().item())
            slopes = [exact, *(leaf.grad for leaf in leaves[1:])]
            gradients = {f"v.{n}": slope.tolist() for n, slope in zip(names, slopes, strict=True)} | {"z": x.grad.tolist()}
            found.append({"value": value.detach().tolist(), "gradients": gradients})
            params = [p - slope for p, slope in zip(params, slopes, strict=True)]
        told = f"mpmath for the gain's gradient: torch takes x * r - mean * r, and is {off:.0e} away"
        cases.append({"call": call, "torch": call.partition("(")[0], **({"exact": told} if off > NEAR else {}), "steps": found})
    return {"z": z, "c": weigh, "cases": cases, "embedding": embedding(torch)}


def embedding(torch: Any) -> dict[str, Any]:
    """Rows of a table, one of them taken three times and one never: value, and gradient of sum(c * value) in the table."""
    index, table = [2, 0, 2, 4, 1, 2], [[0.5, -1.0], [1e-8, 2.0], [1e6, 0.25], [3.0, 4.0], [-0.1, 0.3]]
    c = [[1.0, -0.5], [2.0, 0.25], [1e-3, 3.0], [0.0, 1.0], [-4.0, 1e6], [0.7, 0.1]]
    leaf = torch.tensor(table, requires_grad=True)
    value = torch.nn.functional.embedding(torch.tensor(index), leaf)
    (value * torch.tensor(c)).sum().backward()
    return {"index": index, "table": table, "c": c, "value": value.detach().tolist(), "gradient": leaf.grad.tolist()}


def gain_gradient(mp: Any, z: Numbers, c: Numbers, centred: bool, eps: float) -> Numbers:
    """The sum over the rows of c times the normalised row."""
    total = [mp.mpf(0)] * len(z[0])
    for row, weights in zip(z, c, strict=True):
        x = [mp.mpf(v) for v in row]
        d = [v - sum(x) / len(x) for v in x] if centred else x
        root = mp.sqrt(sum(v * v for v in d) / len(d) + mp.mpf(eps))
        total = [t + mp.mpf(w) * v / root for t, w, v in zip(total, weights, d, strict=True)]
    return [float(t) for t in total]


# --- optimizers and schedules --------------------------------------------------------------------

SHOWN = (1, 2, 3, 10, 50, 100, 101, 150, 200)


def slopes() -> Numbers:
    """200 gradients of four numbers: from 1e-12 to 1e6 and back, of changing sign."""
    found: Numbers = []
    for t in range(200):
        size = 10.0 ** (-12 + 18 * (t if t < 100 else 199 - t) / 99)
        found.append([size * (-1) ** (t // (k + 1)) * (1 + k * math.sin(1.3 * t + k) / 4) for k in range(4)])
    return found


def optimizers(torch: Any) -> dict[str, Any]:
    """The weights after the steps SHOWN, started from 1, -2, 0.5 and 0."""
    optim = torch.optim
    start = [1.0, -2.0, 0.5, 0.0]
    gradients = slopes()
    table: dict[str, Callable[[Any], Any]] = {
        "sgd(lr = 0.01)": lambda p: optim.SGD(p, 0.01),
        "momentum(lr = 0.01, beta = 0.9)": lambda p: optim.SGD(p, 0.01, momentum=0.9),
        "nesterov(lr = 0.01, beta = 0.9)": lambda p: optim.SGD(p, 0.01, momentum=0.9, nesterov=True),
        "rmsprop": optim.RMSprop,
        "rmsprop(lr = 0.002, beta = 0.9, eps = 1e-6)": lambda p: optim.RMSprop(p, 0.002, 0.9, 1e-6),
        "adagrad": optim.Adagrad,
        "adam": optim.Adam,
        "adam(lr = 0.05, beta1 = 0.8, beta2 = 0.99, eps = 1e-6)": lambda p: optim.Adam(p, 0.05, (0.8, 0.99), 1e-6),
        "adamw": optim.AdamW,
        "adamw(lr = 0.05, decay = 0.1)": lambda p: optim.AdamW(p, 0.05, weight_decay=0.1),
        "nadam": optim.NAdam,
        "nadam(lr = 0.01, psi = 0.01)": lambda p: optim.NAdam(p, 0.01, momentum_decay=0.01),
    }
    cases: list[dict[str, Any]] = []
    for call, make in table.items():
        w = torch.tensor(start, requires_grad=True)
        optimizer = make([w])
        weights: dict[str, Numbers] = {}
        for t, gradient in enumerate(gradients, 1):
            w.grad = torch.tensor(gradient)
            optimizer.step()
            if t in SHOWN:
                weights[str(t)] = w.detach().tolist()
        cases.append({"call": call, "torch": type(optimizer).__name__, "weights": weights})
    for call, lr, decay in (("lion", 1e-4, 0.0), ("lion(lr = 0.01, decay = 0.1)", 0.01, 0.1)):
        exact = "algorithm 2 of Chen et al. 2023 line by line: torch has no Lion"
        cases.append({"call": call, "torch": "", "exact": exact, "weights": lion(start, gradients, lr, decay)})
    return {"start": start, "gradients": gradients, "cases": cases}


def lion(start: Sequence[float], gradients: Iterable[Sequence[float]], lr: float, decay: float) -> dict[str, Numbers]:
    """Lion in plain floats."""
    w, m = list(start), [0.0] * len(start)
    found: dict[str, Numbers] = {}
    for t, g in enumerate(gradients, 1):
        for i, slope in enumerate(g):
            c = 0.9 * m[i] + 0.1 * slope
            w[i] -= lr * (math.copysign(1.0, c) * (c != 0) + decay * w[i])
            m[i] = 0.99 * m[i] + 0.01 * slope
        if t in SHOWN:
            found[str(t)] = list(w)
    return found


def schedules(torch: Any) -> dict[str, Any]:
    """The learning rate of every step, the first step being 1; three steps an epoch."""
    plans = torch.optim.lr_scheduler
    table: list[tuple[str, str, int, int, Callable[[Any], Any]]] = [
        ("cosine(0.1, 0.001)", "CosineAnnealingLR", 60, 1, lambda o: plans.CosineAnnealingLR(o, 59, 0.001)),
        ("linear_decay(0.1, 0.02)", "LinearLR", 60, 1, lambda o: plans.LinearLR(o, 1.0, 0.2, 59)),
        ("linear_decay(0.1)", "LinearLR", 60, 1, lambda o: plans.LinearLR(o, 1.0, 0.0, 59)),
        ("step_decay(0.1, 0.5, every = 4)", "StepLR", 60, 3, lambda o: plans.StepLR(o, 4, 0.5)),
        ("step_decay(0.1)", "StepLR", 120, 3, lambda o: plans.StepLR(o, 30, 0.1)),
        ("warmup(0.1, over = 20)", "LinearLR", 60, 1, lambda o: plans.LinearLR(o, 0.05, 1.0, 19)),
        ("one_cycle(0.1)", "OneCycleLR", 60, 1, lambda o: plans.OneCycleLR(o, 0.1, 60)),
        ("one_cycle(0.1, 0.02, 0.0001, share = 0.5)", "OneCycleLR", 31, 1,
         lambda o: plans.OneCycleLR(o, 0.1, 31, pct_start=0.5, div_factor=5, final_div_factor=200)),
        ("one_cycle(0.1)", "OneCycleLR", 2, 1, lambda o: plans.OneCycleLR(o, 0.1, 2)),
    ]  # fmt: skip
    cases: list[dict[str, Any]] = []
    for call, name, steps, every, make in table:
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 0.1)
        plan = make(optimizer)
        rates: list[float] = []
        for step in range(1, steps + 1):
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            if step % every == 0 and step < steps:
                plan.step()
        cases.append({"call": call, "torch": name, "steps": steps, "steps_an_epoch": every, "rates": rates})
    return {"cases": cases}


if __name__ == "__main__":
    sys.exit(main())
