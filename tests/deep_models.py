"""Random deep networks as a user would write them: chains of layers with dropout, norms, skips and early readers."""

from __future__ import annotations

import numpy as np

LAYERS = (
    "dense({w}, relu)",
    "dense({w}, tanh)",
    "dense({w}, gelu_tanh)",
    "dense({w}, silu)",
    "dense({w}, sigmoid)",
    "dense({w}, softplus)",
)
BETWEEN = ("dropout(0.3)", "batch_norm", "layer_norm", "dropout(0.2) |> batch_norm")


def deep_model(seed, most=24, rows=(8, 200), widths=(1, 40)):
    """The text of a model, with a place {MORE} among the settings."""
    rng = np.random.default_rng([seed, 7])
    count, columns, classes = int(rng.integers(*rows)), int(rng.integers(1, 6)), int(rng.integers(2, 5))
    x = rng.normal(size=(count, columns)).round(3).tolist()
    y = (np.arange(count) % classes).tolist()
    lines, widths_of = [], {"x": columns}
    last, depth = "x", int(rng.integers(2, most))
    width = int(rng.integers(*widths))
    for i in range(1, depth + 1):
        width = int(rng.integers(*widths)) if rng.random() < 0.2 else width
        layer = LAYERS[rng.integers(len(LAYERS))].format(w=width)
        text = f"{last} |> {layer}"
        if rng.random() < 0.3:
            text += f" |> {BETWEEN[rng.integers(len(BETWEEN))]}"
        skips = [n for n, w in widths_of.items() if w == width]
        if skips and rng.random() < 0.3:
            text = f"{skips[rng.integers(len(skips))]} + ({text})"
        lines.append(f"  h{i} = {text}")
        last = f"h{i}"
        widths_of[last] = width
    early = f" + 0.01 * mean(h{rng.integers(1, depth + 1)}^2)" if rng.random() < 0.4 else ""
    batch = int(rng.integers(2, count // 2 + 2))
    batch += count % batch == 1  # batch_norm takes no batch of one row
    batch = batch if count % batch != 1 else 0
    train = [
        f"optimizer = {('sgd(lr = 0.01)', 'adam(lr = 0.001)', 'momentum(lr = 0.01, beta = 0.9)')[rng.integers(3)]}",
        "steps = 3", f"batch = {batch or 'all'}", f"seed = {seed}", f"precision = {('float64', 'float32')[rng.integers(2)]}",
    ]  # fmt: skip
    if rng.random() < 0.3:
        train.append(f"accumulate = {rng.integers(2, 4)}")
    body, settings = "\n".join(lines), "\n  ".join(train)
    return f"""data {{
  x = {x}
  y = {y} |> onehot
}}
model {{
{body}
  p = dense({last}, {classes}, softmax)
}}
loss = mean(cross_entropy(p, y)){early}
train {{
  {settings}
  {{MORE}}
}}
"""


def written(seed, more="", **sizes):
    """The model with this among its settings."""
    return deep_model(seed, **sizes).replace("{MORE}", more)
