"""The optimizer to nodes: one update for every number of every param, in the same mathematics as the model."""

from __future__ import annotations

from collections.abc import Collection

from msgspec import Struct

from ..dsl.diagnostics import fault
from ..dsl.syntax import Assign, Expr, Prime, Span, State
from . import shapes
from .constants import Number
from .definitions import Library, bind, signature
from .instances import Frame, Meaning
from .ir import Node, ancestors
from .lower import Lowering
from .ops import TABLE
from .settings import Settings

SHAPE = ("P",)  # the numbers of a param
ELEMENTWISE = "use + - * / ^ and functions of one number: exp, sqrt, where ..."


class Update(Struct, frozen=True):
    """`w` and `dw` stand for every param and its gradient. `numbers` are those that change with the step; `primes` in order.

    `norm` is that of all gradients together, where they are clipped: the only node that is not of one param.
    """

    w: Node
    dw: Node
    w_name: str
    dw_name: str
    states: tuple[tuple[str, Node, Number], ...]
    numbers: tuple[tuple[str, Node], ...]
    locals: tuple[tuple[str, Node, Span], ...]
    primes: tuple[tuple[str, Node, Span], ...]
    norm: Node | None = None


def arguments(settings: Settings, lib: Library) -> dict[str, Expr]:
    """What `train.optimizer` gives the parameters of the update behind w and dw."""
    function = lib.find(settings.optimizer.function.id)
    assert function is not None
    return bind(settings.optimizer, signature(function)[2:], function.name)


def lower_update(low: Lowering, settings: Settings) -> Update:
    """The update that `train.optimizer` calls. Faults are told at the call or in the user's own definition."""
    call = settings.optimizer
    function = low.lib.find(call.function.id)
    assert function is not None and function.kind == "update"
    d = function.definition
    ir = low.ir
    symbols = {s: ir.leaf("symbol", (), name=s) for s in ("step", "epoch")}
    symbols |= {"steps": ir.const(settings.steps), "epochs": ir.const(settings.epochs)}
    w_name, dw_name = (p.name.id for p in d.parameters[:2])
    w, dw = (ir.leaf("state", SHAPE, name=n) for n in (w_name, dw_name))
    outer = Frame({}, "user", None, symbols)
    clip = _clipped(low, settings.clip, dw, outer) if settings.clip is not None else None
    frame = Frame({w_name: w, dw_name: clip.dw if clip else dw}, function.home, None, symbols)
    bound = arguments(settings, low.lib)
    numbers: list[tuple[str, Node]] = []
    for p in d.parameters[2:]:
        meaning: Meaning
        if p.name.id in bound:
            meaning = low.node(bound[p.name.id], outer)
        else:
            assert p.default is not None
            meaning = low.node(p.default, frame)
        assert isinstance(meaning, Node)
        if meaning.shape:
            raise fault("E0235", call.span, f"`{p.name.id}` is one number, and this is {shapes.show(meaning.shape)}", f"{p.name.id} = 0.01")
        frame.scope[p.name.id] = meaning
        if meaning.value is None:
            numbers.append((p.name.id, meaning))
    states: list[tuple[str, Node, Number]] = []
    local: list[tuple[str, Node, Span]] = []
    primes: list[tuple[str, Node, Span]] = []
    if clip is not None and settings.clip is not None:
        taken = {p.name.id for p in d.parameters} | {s.name.id for s in d.body if isinstance(s, (State, Assign))}
        if clip.most.value is None:
            numbers.append((_free("clip", taken), clip.most))
        local.append((_free("norm", taken), clip.norm, settings.clip.span))
        primes.append((dw_name, clip.dw, settings.clip.span))
    for s in d.body:
        match s:
            case State(name=name, dims=None):
                node = ir.leaf("state", SHAPE, name=name.id)
                states.append((name.id, node, _start(low, s, frame)))
                frame.scope[name.id] = node
            case Assign(name=name, value=value):
                node = low.node(value, frame)
                ir.named.add(node)
                frame.scope[name.id] = node
                local.append((name.id, node, s.span))
            case Prime(name=name, value=value):
                node = low.node(value, frame)
                if node.shape not in {SHAPE, ()}:
                    raise fault("E0231", s.span, f"`{name.id}'` must have the shape of `{name.id}`", ELEMENTWISE)
                node = node if node.shape == SHAPE else ir.make("broadcast", node, shape=SHAPE)
                while not node.args or any(node is n for _, n, _ in primes):  # v' = dw: the same numbers under a name of their own
                    node = ir.make("alias", node)
                ir.named.add(node)
                frame.scope[f"{name.id}'"] = node
                primes.append((name.id, node, s.span))
            case _:
                raise fault("E0107", s.span, "this has no place in an update", "state v ~ zeros,  u = ...,  v' = ...")
    for name, node, span in (*local, *primes):
        if any(n.op in TABLE and TABLE[n.op].kind in {"reduce", "rowwise", "matmul", "move"} and any("P" in a.shape for a in n.args)
               for n in ancestors([node]) if clip is None or n is not clip.norm.args[0]):  # fmt: skip
            told = call.span if function.home == "std" else span
            raise fault("E0107", told, f"`{name}` mixes the numbers of a param: an update works on each number by itself", ELEMENTWISE)
    norm = clip.norm if clip else None
    return Update(w, dw, w_name, dw_name, tuple(states), tuple(numbers), tuple(local), tuple(primes), norm)


class _Clip(Struct, frozen=True):
    """The norm of all gradients, the most that it may be, and the gradient that the update sees."""

    norm: Node
    most: Node
    dw: Node


def _clipped(low: Lowering, most: Expr, dw: Node, frame: Frame) -> _Clip:
    """`dw * min(1, most / norm)`. Faults of `most`: not a number, or one that is not positive."""
    ir, c = low.ir, low.node(most, frame)
    if c.shape:
        raise fault("E0235", most.span, f"the c of `norm(c)` is one number, and this is {shapes.show(c.shape)}", "clip = norm(1.0)")
    if c.value is not None and not c.value > 0:
        raise fault(
            "E0302", most.span, f"the gradients' norm is clipped to a number above 0, and this is `{most.span.text}`", "clip = norm(1.0)"
        )
    norm = ir.make("sqrt", ir.make("sum", ir.make("pow", dw, 2), axes=(0,), keep=False))
    ir.named.add(norm)  # so that no rewrite goes through it into the update, nor through what is clipped
    clipped = ir.make("mul", dw, ir.make("min", 1, ir.make("div", c, norm)))
    ir.named.add(clipped)
    return _Clip(norm, c, clipped)


def _free(name: str, taken: Collection[str]) -> str:
    """The name, or with an ordinal if the update has it."""
    return next(n for n in (name, *(f"{name}{i}" for i in range(2, len(taken) + 3))) if n not in taken)


def _start(low: Lowering, s: State, frame: Frame) -> Number:
    init = low.initializer(s.init, frame)
    match init.name, init.args:
        case "zeros", _:
            return 0.0
        case "ones", _:
            return 1.0
        case "constant", (float() as value,):
            return value
        case _:
            raise fault(
                "E0235", s.init.span, f"a state of an update starts at one number, and this is `{init.text}`", "zeros, ones or constant(c)"
            )
