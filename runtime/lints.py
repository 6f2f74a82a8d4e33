"""What the numbers of the inputs show before training: each a warning with its code. No plan depends on it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from ..compiler.compilation import Known
from ..dsl.diagnostics import Diagnostic
from .data import Dataset
from .later import extent

LARGE = 100  # times what a layer's initial weights are made for
WIDE = 32  # of more columns, as of an image's pixels, a constant one says nothing


def lints(names: Iterable[Known], dataset: Dataset) -> Iterator[Diagnostic]:
    """A constant column of the training rows (W0105), and one whose numbers are large (W0106), once a value that the model reads."""
    given = {known.name for known in names if known.read and not known.target}
    train = dataset.splits.get("train", {})
    for value in dataset.schema.values:
        array = train.get(value.name)
        if value.name not in given or array is None or len(array) < 2:
            continue
        low, high = extent(array)
        constant = np.flatnonzero(low == high)
        if constant.size and array.shape[1] <= WIDE:
            column = int(constant[0])
            more = f", and {constant.size - 1} more" if constant.size > 1 else ""
            message = f"column `{value.labels[column]}` of `{value.name}` is {low[column]:g} in every training row{more}"
            yield Diagnostic("W0105", value.span, message, "nothing can be learnt from it: leave it out", "warning")
        large = np.flatnonzero(np.maximum(-low, high) > LARGE)
        if large.size and not value.facts.integer:
            column = int(large[0])
            more = f", and {large.size - 1} more are as large" if large.size > 1 else ""
            message = f"column `{value.labels[column]}` of `{value.name}` goes from {low[column]:g} to {high[column]:g}{more}: steps that suit it suit no other"
            yield Diagnostic("W0106", value.span, message, "let it go through `|> standardize`", "warning")
