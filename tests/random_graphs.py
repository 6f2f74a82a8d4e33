"""Random programs, and what HIPS autograd says of them: the oracle of the reverse sweep and of every rewrite on the way.

A program is a list of instructions over leaves, as a user would write them; nothing in it knows of rules. It is translated
twice: to nodes (simplified as they are made) and to autograd.numpy (as written). Values keep away from kinks and
from what is ill-conditioned by construction: the generator computes as it goes and does not take what comes too close.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import autograd
import autograd.numpy as anp
import numpy as np
from autograd.extend import defvjp, primitive

from mlpc.compiler.facts import NOTHING, ONEHOT, SIMPLEX
from mlpc.compiler.ir import Interner, ancestors
from mlpc.compiler.ops import TABLE, ShapeError

MARGIN = 0.01  # from every kink
LARGEST = 12.0  # of any value
TOLERANCE = 1e-10  # relative to the largest entry of a gradient, or to FLOOR where all of it is smaller (sum(softmax(z)) has none)
FLOOR = 1e-2

np_any: Any = anp
grad: Any = autograd.grad


@primitive
def erf(x: Any) -> Any:
    return np.vectorize(math.erf, otypes=[float])(x)


defvjp(erf, lambda ans, x: lambda g: g * 2 / math.sqrt(math.pi) * np_any.exp(-(x**2)))


def total(x, axes, keep):
    return np_any.sum(x, axis=axes, keepdims=keep)


def choose(c, a, b):
    """`where`; autograd's own does not sum back what was broadcast."""
    return (c != 0) * a + (c == 0) * b


MEANING: dict[str, Any] = {  # an operation as autograd.numpy, written without care for size
    "neg": lambda x: -x, "add": lambda a, b: a + b, "sub": lambda a, b: a - b, "mul": lambda a, b: a * b, "div": lambda a, b: a / b,
    "pow": lambda a, b: a**b, "max": np_any.maximum, "min": np_any.minimum, "abs": np_any.abs, "exp": np_any.exp, "log": np_any.log,
    "sqrt": np_any.sqrt, "tanh": np_any.tanh, "sin": np_any.sin, "cos": np_any.cos, "erf": erf, "sign": np_any.sign, "floor": np_any.floor,
    "lt": lambda a, b: (a < b) * 1.0, "le": lambda a, b: (a <= b) * 1.0, "gt": lambda a, b: (a > b) * 1.0, "ge": lambda a, b: (a >= b) * 1.0,
    "eq": lambda a, b: (a == b) * 1.0, "ne": lambda a, b: (a != b) * 1.0, "where": choose,
    "sum": total, "max_over": lambda x, axes, keep: np_any.max(x, axis=axes, keepdims=keep),
    "min_over": lambda x, axes, keep: np_any.min(x, axis=axes, keepdims=keep), "matmul": np_any.matmul, "transpose": np_any.transpose,
    "concat": lambda *parts: np_any.concatenate(parts, axis=-1),
    "slice": lambda x, axis, start, stop: x[(slice(None),) * axis + (slice(start, stop),)],
    "reshape": lambda x, shape: np_any.reshape(x, shape), "broadcast": lambda x, shape: x * np.ones(shape), "alias": lambda x: x,
    # only where rewritten nodes are translated
    "softmax": lambda z: np_any.exp(z) / total(np_any.exp(z), -1, True),
    "log_softmax": lambda z: z - np_any.log(total(np_any.exp(z), -1, True)), "sigmoid": lambda x: 1 / (1 + np_any.exp(-x)),
    "silu": lambda x: x / (1 + np_any.exp(-x)), "softplus": lambda x: np_any.logaddexp(0, x),
    "logsumexp": lambda x, axes, keep: np_any.log(total(np_any.exp(x), axes, keep)),
    "expm1": np_any.expm1, "log1p": np_any.log1p,
}  # fmt: skip


@dataclass(frozen=True)
class Instruction:
    """A leaf (`input`, `param`, `const`, `N`) or an operation on earlier instructions, by number."""

    op: str
    args: tuple[int, ...] = ()
    attrs: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True)
class Program:
    """`values` are the arrays of the leaves, `shapes` those of all with N as a symbol, `named` what gets a line of its own."""

    body: tuple[Instruction, ...]
    shapes: tuple[Any, ...]
    values: dict[int, Any]
    named: frozenset[int]
    loss: int
    rows: int

    def of(self, *ops):
        """The numbers of the instructions of some operations."""
        return [i for i, e in enumerate(self.body) if e.op in ops]

    def alive(self):
        """What the loss is computed from."""
        found, stack = set(), [self.loss]
        while stack:
            i = stack.pop()
            if i not in found:
                found.add(i)
                stack.extend(self.body[i].args)
        return found


# --- making one ----------------------------------------------------------------------------------


class Draft:
    """A program in the making, with the value of each instruction."""

    def __init__(self, seed, language):
        self.rng = np.random.default_rng(seed)
        self.language = language  # only what a .mlp file can say
        self.rows = int(self.rng.choice([1, 2, 3, 5]))
        self.body: list[Instruction] = []
        self.shapes: list[Any] = []
        self.values: list[Any] = []

    def leaf(self, op, shape, value, **attrs):
        self.body.append(Instruction(op, (), attrs))
        self.shapes.append(shape)
        self.values.append(np.asarray(value, float))
        return len(self.body) - 1

    def const(self, number):
        exact = number if isinstance(number, Fraction) else Fraction(int(number))
        return self.leaf("const", (), float(exact), number=exact)

    def do(self, op, *args, **attrs):
        """The number of the new instruction, or None where it does not fit or comes too close to what is no fair test."""
        if any(a is None for a in args):
            return None
        op = str(op)
        try:
            shape = TABLE[op].shape([self.shapes[a] for a in args], attrs)
        except ShapeError:
            return None
        operands = [self.values[a] for a in args]
        if not fair(op, operands, attrs):
            return None
        value = np.asarray(MEANING[op](*operands, **sized(attrs, self.rows)))
        if not np.isfinite(value).all() or np.abs(value).max(initial=0) > LARGEST or value.size > 60:
            return None
        self.body.append(Instruction(op, tuple(args), attrs))
        self.shapes.append(shape)
        self.values.append(value)
        return len(self.body) - 1

    def pick(self, want=lambda shape: True):
        """A value, more often a late one, or None."""
        fits = [i for i, s in enumerate(self.shapes) if self.body[i].op not in {"const", "N"} and want(s)]
        if self.language:  # a transposed batch stands only left of @
            fits = [i for i in fits if "N" not in self.shapes[i][1:]]
        if not fits:
            return None
        return int(fits[-1 - min(int(self.rng.geometric(0.25)) - 1, len(fits) - 1)] if self.rng.random() < 0.6 else self.rng.choice(fits))

    def reduce(self, op, x):
        if x is None:
            return None
        rank = len(self.shapes[x])
        choices = [(tuple(range(rank)), False)] if rank else []
        if rank:
            choices.append(((rank - 1,), True))
        if rank == 2 and self.shapes[x][0] == "N":
            choices.append(((0,), False))
        if not self.language and rank:
            choices += [(axes, keep) for axes in ((0,), (rank - 1,), tuple(range(rank))) for keep in (True, False)]
        if not choices:
            return None
        axes, keep = choices[self.rng.integers(len(choices))]
        return self.do(op, x, axes=axes, keep=keep)


def sized(attrs, rows):
    return {k: tuple(rows if d == "N" else d for d in v) if k == "shape" else v for k, v in attrs.items()}


def fair(op, operands, attrs):
    """Whether an operation is smooth and well-conditioned here."""
    match op, operands:
        case (("log" | "sqrt"), [x]):
            return x.min() > 0.05
        case "div", [_, b]:
            return np.abs(b).min() > 0.3
        case "exp", [x]:
            return x.max() < 2.5
        case "abs" | "sign", [x]:
            return np.abs(x).min() > MARGIN
        case "floor", [x]:
            return np.abs(x - np.round(x)).min() > MARGIN
        case (("max" | "min" | "lt" | "le" | "gt" | "ge" | "eq" | "ne"), [a, b]):
            return np.abs(a - b).min() > MARGIN
        case (("max_over" | "min_over"), [x]):
            axes = tuple(attrs["axes"])
            rest = [i for i in range(x.ndim) if i not in axes]
            rows = np.transpose(x, [*rest, *axes]).reshape(int(np.prod([x.shape[i] for i in rest])), -1)
            ordered = np.sort(rows, axis=1)
            return ordered.shape[1] < 2 or np.diff(ordered, axis=1).min() > MARGIN
        case "pow", [a, b]:
            return a.min() > 0.2 or (b.ndim == 0 and float(b) in {1.0, 2.0, 3.0})
        case _:
            return True


def features(d, x):
    return d.do("sum", x, axes=(len(d.shapes[x]) - 1,), keep=True) if x is not None and d.shapes[x] else None


def softmax(d, z):
    e = d.do("exp", z)
    return d.do("div", e, features(d, e)) if e is not None else None


def sigmoid(d, x):
    return d.do("div", d.const(1), d.do("add", d.const(1), d.do("exp", d.do("neg", x))))


def cross_entropy(d):
    """-sum(y * log(softmax(z)), axis = features) with whatever fits as the target."""
    z = d.pick(lambda s: len(s) == 2 and s[-1] == 3)
    target = d.pick(lambda s: z is not None and s == d.shapes[z])
    if z is not None and d.shapes[z] == ("N", 3) and d.rng.random() < 0.5:
        target = 1  # the data value that may have facts
    return d.do("neg", features(d, d.do("mul", target, d.do("log", softmax(d, z)))))


def binary_cross_entropy(d):
    """-(t * log(p) + (1 - t) * log(1 - p)) with p = 1 / (1 + exp(-x))."""
    x = d.pick()
    t = d.pick(lambda s: x is not None and s == d.shapes[x])
    p, one = sigmoid(d, x), d.const(1)
    left = d.do("mul", t, d.do("log", p))
    return d.do("neg", d.do("add", left, d.do("mul", d.do("sub", one, t), d.do("log", d.do("sub", one, p)))))


def naive(d, x):
    """A formula of x that overflows or cancels as it stands."""
    e, one = d.do("exp", x), d.const(1)
    down, below = d.do("exp", d.do("neg", x)), d.do("add", one, e)
    match d.rng.integers(8):
        case 0:
            d.do("sub", one, e)
        case 1:
            d.do("div", x, below)
        case 2:
            d.do("div", e, d.do("pow", below, d.const(2)))
        case 3:
            d.do("div", d.do("sub", e, one), below)
        case 4:
            d.do("sub", d.do("div", d.const(2), below), one)
        case 5:
            d.do("log", d.do("add", e, down))
        case 6:
            tail = d.do("log", d.do("add", one, d.do("exp", d.do("neg", d.do("abs", x)))))
            d.do("add", d.do("max", x, d.const(0)), tail)
        case _:
            d.do("sqrt", d.do("pow", x, d.const(2)))


def step(d):
    """One more thing that a user might write."""
    rng = d.rng
    kind = rng.choice([
        "unary", "unary", "unary", "unary", "unary", "binary", "binary", "binary", "binary", "matmul", "matmul", "reduce", "where",
        "concat", "slice", "softmax", "nll", "logsumexp", "sigmoid", "softplus", "complement", "bce", "scale", "twice", "square",
        "center", "mean", "gram", "diamond", "expm1", "log1p", "move", "shift", "log_softmax", "smooth",
        "naive",
    ])  # fmt: skip
    x = d.pick()
    wide = d.pick(lambda s: len(s) == 2 and s[-1] not in {1, "N"})
    match kind:
        case "unary":
            d.do(rng.choice(["neg", "exp", "log", "sqrt", "abs", "tanh", "sin", "cos", "erf", "sign", "floor"]), x)
        case "binary":
            d.do(rng.choice(["add", "sub", "mul", "div", "max", "min", "pow"]), x, d.pick())
        case "matmul":
            d.do("matmul", d.pick(lambda s: len(s) == 2), d.pick(lambda s: len(s) == 2 and "N" not in s))
        case "reduce":
            d.reduce(rng.choice(["sum", "max_over", "min_over"]), x)
        case "where":
            d.do("where", d.do(rng.choice(["lt", "le", "gt", "ge"]), x, d.pick()), d.pick(), d.pick())
        case "concat":
            left = d.pick(lambda s: len(s) >= 1 and s[-1] != "N")
            if left is not None:
                d.do("concat", left, d.pick(lambda s: len(s) == len(d.shapes[left]) and s[:-1] == d.shapes[left][:-1]))
        case "slice" if wide is not None:
            width = d.shapes[wide][-1]
            start = int(rng.integers(0, width))
            stop = int(rng.integers(start + 1, width + 1))
            if (start, stop) != (0, width):
                d.do("slice", wide, axis=1, start=start, stop=stop)
        case "softmax":
            softmax(d, wide)
        case "nll":
            cross_entropy(d)
        case "logsumexp":
            d.do("log", d.reduce("sum", d.do("exp", x)))
        case "sigmoid":
            sigmoid(d, x)
        case "softplus":
            d.do("log", d.do("add", d.const(1), d.do("exp", x)))
        case "complement":
            d.do("sub", d.const(1), sigmoid(d, x))
        case "bce":
            binary_cross_entropy(d)
        case "scale":
            number = d.const(rng.choice([2, -1, Fraction(1, 3), Fraction(-1, 2), 1, Fraction(1, 10)]))
            d.do(*(["mul", number, x] if rng.random() < 0.5 else [rng.choice(["mul", "div", "add", "sub"]), x, number]))
        case "twice":
            d.do(rng.choice(["add", "mul", "sub"]), x, x)
        case "square":
            d.do("pow", x, d.const(rng.choice([2, 3, 1])))
        case "center":
            d.do("sub", wide, d.reduce("sum", wide))
        case "mean":
            d.do("div", d.reduce("sum", x), d.leaf("N", (), d.rows))
        case "gram":
            left = d.pick(lambda s: len(s) == 2 and s[0] == "N")
            d.do("matmul", d.do("transpose", left), d.pick(lambda s: len(s) == 2 and s[0] == "N"))
        case "diamond":
            d.do(rng.choice(["add", "mul", "sub"]), d.do("tanh", x), d.do(rng.choice(["sin", "cos", "neg"]), x))
        case "expm1":
            d.do("sub", d.do("exp", x), d.const(1))
        case "log1p":
            d.do("log", d.do(rng.choice(["add", "sub"]), d.const(1), x))
        case "shift":
            if wide is not None:
                softmax(d, d.do("sub", wide, d.reduce("max_over", wide)))
        case "log_softmax":
            d.do("sub", wide, d.do("log", features(d, d.do("exp", wide))))
        case "naive":
            naive(d, x)
        case "smooth":
            d.do("add", d.do("mul", d.const(Fraction(9, 10)), 1), d.const(Fraction(1, 30)))
        case "move" if x is not None and not d.language:
            shape = d.shapes[x]
            if rng.random() < 0.5:
                d.do("reshape", x, shape=(1, *shape) if len(shape) < 2 else shape)
            elif shape in {(), (1,), (3,), (1, 1), (1, 3), ("N", 1)}:
                d.do("broadcast", x, shape=("N", 3))
        case _:
            pass


def generate(seed, language=False):
    """The random program of a seed."""
    tries = (attempt(Draft([seed, k], language)) for k in itertools.count())
    return next(p for p in tries if p is not None)


def attempt(d):
    """A program whose loss reads a param, or None where chance gives none."""
    rng = d.rng
    for facts in (NOTHING, [NOTHING, ONEHOT, SIMPLEX][rng.integers(3)]):
        x = rng.normal(size=(d.rows, 3))
        x = np.eye(3)[rng.integers(0, 3, d.rows)] if facts == ONEHOT else rng.dirichlet(np.ones(3), d.rows) if facts == SIMPLEX else x
        d.leaf("input", ("N", 3), x, facts=facts)  # 0, of which nothing is known, and 1, which may be one-hot or soft targets
    shapes = [(3,), (3, 3), (), (1,), (1, 3), (3, 1), (3, 2), (2,), (2, 3), (1, 1)]
    for i in sorted(rng.choice(len(shapes), int(rng.integers(2, 6)), replace=False)):
        d.leaf("param", shapes[i], rng.normal(size=shapes[i]))
    for _ in range(int(rng.integers(4, 16))):
        step(d)
    loss = None
    for _ in range(int(rng.integers(1, 5))):
        common = [cross_entropy, binary_cross_entropy, lambda d: d.pick()]
        x = common[int(rng.choice(3, p=[0.15, 0.15, 0.7]))](d)
        if x is not None and d.shapes[x]:
            x = d.do("sum", x, axes=tuple(range(len(d.shapes[x]))), keep=False)
        if x is not None and rng.random() < 0.5:
            x = d.do("div", x, d.leaf("N", (), d.rows))
        if x is not None:
            loss = x if loss is None else d.do(rng.choice(["add", "add", "sub"]), loss, x)
    if loss is None or not d.body[loss].args:
        return None
    named = frozenset(i for i, e in enumerate(d.body) if e.args and rng.random() < 0.3)
    values = {i: v for i, (e, v) in enumerate(zip(d.body, d.values, strict=True)) if e.op in {"input", "param"}}
    program = Program(tuple(d.body), tuple(d.shapes), values, named, loss, d.rows)
    return program if any(program.body[i].op == "param" for i in program.alive()) else None


def features_of(p):
    """Which of the things that go wrong this program has."""
    readers: dict[int, set[int]] = {i: set() for i in range(len(p.body))}
    for i, e in enumerate(p.body):
        for a in e.args:
            readers[a].add(i)
    computed = [i for i, e in enumerate(p.body) if e.args]
    below: dict[int, set[int]] = {}
    for i in reversed(range(len(p.body))):
        below[i] = {i}.union(*[below[r] for r in readers[i]])
    alive = p.alive()
    inner = {i for i in alive if p.shapes[i]}  # all paths meet in the loss; here before it
    elementwise = [e for e in p.body if e.args and TABLE[e.op].kind == "elementwise"]
    told = {
        "fan-out": any(len(readers[i] & alive) > 1 for i in alive),
        "reuse": any(len(set(e.args)) < len(e.args) for e in p.body),
        "diamonds": any(below[r] & below[s] & alive & inner for i in alive for r in readers[i] for s in readers[i] if r < s),
        "dead branches": any(i not in alive for i in computed),
        "broadcasts": any(len({p.shapes[a] for a in e.args}) > 1 for e in elementwise),
        "one row": p.rows == 1,
        "named values": any(i in alive and i != p.loss for i in p.named),
        "one-hot or soft targets": any(e.op == "input" and e.attrs["facts"] != NOTHING and i in alive for i, e in enumerate(p.body)),
    }
    return Counter(name for name, holds in told.items() if holds)


# --- its two translations ------------------------------------------------------------------------


def to_nodes(p, rules):
    """(node of each instruction, arrays of the leaves, names of the named nodes)."""
    ir = Interner(rules)
    made: list[Any] = []
    names: dict[Any, str] = {}
    for i, e in enumerate(p.body):
        match e.op:
            case "const":
                made.append(ir.const(e.attrs["number"]))
            case "N":
                made.append(ir.leaf("symbol", (), name="N"))
            case "input" | "param":
                made.append(ir.leaf(e.op, p.shapes[i], e.attrs.get("facts", NOTHING), name=f"v{i}"))
            case _:
                made.append(ir.make(e.op, *(made[a] for a in e.args), **e.attrs))
        if i in p.named and made[i].args:
            names.setdefault(made[i], f"v{i}")
            ir.named.add(made[i])
    return made, {made[i]: x for i, x in p.values.items()}, names


def loss_as_written(p, leaves):
    """The loss by autograd.numpy, instruction by instruction."""
    value: list[Any] = []
    for i, e in enumerate(p.body):
        match e.op:
            case "const":
                value.append(float(e.attrs["number"]))
            case "N":
                value.append(float(p.rows))
            case "input" | "param":
                value.append(leaves[i])
            case _:
                value.append(MEANING[e.op](*(value[a] for a in e.args), **sized(e.attrs, p.rows)))
    return value[p.loss]


def expected_gradients(p):
    """d loss / d param of the program as written, by number."""
    numbers = p.of("param")

    def loss(params: Any) -> Any:
        leaves = p.values | {i: params[k] for k, i in enumerate(numbers)}
        return loss_as_written(p, leaves) + 0.0 * np_any.sum(params[0])  # autograd warns of a loss that feels nothing

    return dict(zip(numbers, grad(loss)([p.values[i] for i in numbers]), strict=True))


def expected_at_nodes(loss, wanted, leaves, rows):
    """d loss / d node for some nodes of a graph, each moved by itself."""
    order = ancestors([loss])

    def shifted(shifts: Any) -> Any:
        value: dict[Any, Any] = dict(leaves)
        for n in order:
            if n.op == "const":
                value[n] = float(n.value or 0)
            elif n.op == "symbol":
                value[n] = float(rows)
            elif n not in value:
                value[n] = MEANING[n.op](*(value[a] for a in n.args), **sized(dict(n.attrs), rows))
            if n in places:
                value[n] = value[n] + shifts[places[n]]
        return value[loss] + 0.0 * np_any.sum(shifts[0])

    places = {n: i for i, n in enumerate(wanted)}
    zeros = [np.zeros(tuple(rows if d == "N" else d for d in n.shape)) for n in wanted]
    return dict(zip(wanted, grad(shifted)(zeros), strict=True)) if wanted else {}


def deviation(actual, expected):
    """The largest error relative to the largest entry; infinite for another shape."""
    if np.shape(actual) != np.shape(expected):
        return math.inf
    error = np.abs(np.asarray(actual) - expected).max(initial=0)
    return float(error / max(np.abs(expected).max(initial=0), FLOOR)) if np.isfinite(error) else math.inf


# --- as a .mlp file ------------------------------------------------------------------------------

SYMBOLS = {"add": "+", "sub": "-", "mul": "*", "div": "/", "pow": "^", "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "matmul": "@"}


def to_mlp(p):
    """The program as a model file: what is named or read twice is a statement, the rest stands where it is read."""
    readers = Counter(a for e in p.body for a in e.args)
    written: dict[int, str] = {}
    statements: list[str] = []
    for i, e in enumerate(p.body):
        parts = [written[a] for a in e.args]
        match e.op:
            case "input":
                written[i] = f"v{i}"
                continue
            case "param":
                dims = f" [{', '.join(map(str, p.shapes[i]))}]" if p.shapes[i] else ""
                written[i] = f"v{i}"
                statements.append(f"param v{i}{dims} ~ zeros")
                continue
            case "const":
                number = e.attrs["number"]
                text = str(number.numerator) if number.denominator == 1 else f"{number.numerator} / {number.denominator}"
                written[i] = text if number >= 0 and number.denominator == 1 else f"({text})"
                continue
            case "N":
                written[i] = "rows(v0)"
                continue
            case "neg":
                text = f"-{parts[0]}"
            case "sum" | "max_over" | "min_over":
                word = {(len(p.shapes[e.args[0]]) - 1,): ", axis = features"} if e.attrs["keep"] else {(0,): ", axis = batch"}
                whole = len(e.attrs["axes"]) == len(p.shapes[e.args[0]]) and not e.attrs["keep"]
                text = f"{e.op.removesuffix('_over')}({parts[0]}{'' if whole else word[e.attrs['axes']]})"
            case "slice":
                text = f"{parts[0]}[:, {e.attrs['start']}:{e.attrs['stop']}]"
            case _ if e.op in SYMBOLS:
                text = f"{parts[0]} {SYMBOLS[e.op]} {parts[1]}"
            case _:
                text = f"{e.op}({', '.join(parts)})"
        if i != p.loss and (i in p.named or readers[i] != 1) and e.op != "transpose":
            written[i] = f"v{i}"
            statements.append(f"v{i} = {text}")
        else:
            written[i] = text if i == p.loss else f"({text})"
    data = "\n".join(f"  v{i} = column{i}" for i in p.of("input"))
    model = "\n".join(f"  {s}" for s in [*statements, "yhat = tanh(v0)"])
    train = "train {\n  optimizer = sgd(lr = 0.1)\n  epochs = 1\n  batch = all\n}\n"
    return f"data {{\n{data}\n}}\n\nmodel {{\n{model}\n}}\n\nloss = {written[p.loss]}\n\n{train}"
