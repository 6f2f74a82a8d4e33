"""The optimizer to nodes: one update for every number of every param, in the same mathematics as the model."""

from __future__ import annotations

from dataclasses import dataclass

from ..dsl.diagnostics import fault
from ..dsl.syntax import Assign, Prime, Span, State
from .constants import Number
from .definitions import bind, signature
from .instances import Frame, Meaning
from .ir import Node
from .lower import Lowering
from .settings import Settings

SHAPE = ("P",)  # the numbers of a param


@dataclass(frozen=True, slots=True)
class Update:
    """`w` and `dw` stand for every param and its gradient. `numbers` are those that change with the step; `primes` in order."""

    w: Node
    dw: Node
    w_name: str
    dw_name: str
    states: tuple[tuple[str, Node, Number], ...]
    numbers: tuple[tuple[str, Node], ...]
    locals: tuple[tuple[str, Node, Span], ...]
    primes: tuple[tuple[str, Node, Span], ...]


def lower_update(low: Lowering, settings: Settings) -> Update:
    """The update that `train.optimizer` calls. Faults are told at the call or in the user's own definition."""
    call = settings.optimizer
    function = low.lib.find(call.function.id)
    assert function is not None and function.definition.kind == "update"
    d = function.definition
    ir = low.ir
    symbols = {s: ir.leaf("symbol", (), name=s) for s in ("step", "epoch")}
    symbols |= {"steps": ir.const(settings.steps), "epochs": ir.const(settings.epochs)}
    if len(d.parameters) < 2:
        raise fault("E0206", d.name.span, f"update `{d.name.id}` needs the parameter and its gradient first: {d.name.id}(w, dw, ...)")
    w_name, dw_name = (p.name.id for p in d.parameters[:2])
    w, dw = (ir.leaf("state", SHAPE, name=n) for n in (w_name, dw_name))
    frame = Frame({w_name: w, dw_name: dw}, function.home, None, symbols)
    outer = Frame({}, "user", None, symbols)
    bound = bind(call, signature(function)[2:], d.name.id)
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
            raise fault("E0235", call.span, f"`{p.name.id}` is one number, and this has the shape {meaning.shape}")
        frame.scope[p.name.id] = meaning
        if meaning.value is None:
            numbers.append((p.name.id, meaning))
    states: list[tuple[str, Node, Number]] = []
    local: list[tuple[str, Node, Span]] = []
    primes: list[tuple[str, Node, Span]] = []
    written = {w_name: w}
    for s in d.body:
        match s:
            case State(name=name, dims=None):
                node = ir.leaf("state", SHAPE, name=name.id)
                states.append((name.id, node, _start(low, s, frame)))
                frame.scope[name.id] = written[name.id] = node
            case Assign(name=name, value=value):
                node = low.node(value, frame)
                frame.scope[name.id] = node
                local.append((name.id, node, s.span))
            case Prime(name=name, value=value):
                if name.id not in written:
                    raise fault(
                        "E0201", name.span, f"`{name.id}'` says what becomes of a state or of `{w_name}`, and `{name.id}` is neither"
                    )
                if any(n == name.id for n, _, _ in primes):
                    raise fault("E0203", name.span, f"`{name.id}'` is assigned twice")
                node = low.node(value, frame)
                if node.shape not in {SHAPE, ()}:
                    raise fault("E0231", s.span, f"`{name.id}'` must have the shape of `{name.id}`")
                node = node if node.shape == SHAPE else ir.make("broadcast", node, shape=SHAPE)
                while not node.args or any(node is n for _, n, _ in primes):  # v' = dw: the same numbers under a name of their own
                    node = ir.make("alias", node)
                frame.scope[f"{name.id}'"] = node
                primes.append((name.id, node, s.span))
            case _:
                raise fault("E0107", s.span, "this has no place in an update", "state v ~ zeros,  u = ...,  v' = ...")
    missing = [n for n, _, _ in states if not any(n == p for p, _, _ in primes)]
    if missing:
        raise fault("E0209", d.name.span, f"state `{missing[0]}` never changes", f"add a line  {missing[0]}' = ...")
    if not any(n == w_name for n, _, _ in primes):
        raise fault("E0209", d.name.span, f"update `{d.name.id}` never says what `{w_name}` becomes", f"add a line  {w_name}' = ...")
    return Update(w, dw, w_name, dw_name, tuple(states), tuple(numbers), tuple(local), tuple(primes))


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
