"""The executor: a plan's sections for one batch size as one straight-line Python function over preallocated buffers.

It knows no operation by name, only the fields of its row in the op table. The generated source has names of its own
making only: f0, f1, ... are functions and v0, v1, ... are what they take.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from copy import deepcopy
from typing import Any, cast

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from ..compiler.ops import TABLE
from ..compiler.plan import Plan
from ..compiler.undisturbed import undisturbed
from .ahead import Ahead, of_the_step
from .buffers import Layout, assign
from .expand import expand
from .init import draw, generator
from .lanes import Lanes
from .program import GRADIENTS, MODEL_STATES, PARAMS, Copy, Program, ranges, state_ranges
from .room import Room
from .source import Source
from .team import Team, room_for

Array = NDArray[Any]
Look = Callable[[int, int, Array], None]  # of a register of the plan, which piece of it, and its value, as it has just been made
SYMBOLS = ("step", "steps", "epoch", "epochs")


class Arrays(Struct, frozen=True, eq=False):
    """What outlives a batch and is shared by the kernels of all batch sizes.

    `flat` are the params, their gradients and the states, each one array; `params`, `gradients`: name -> view of it.
    `model_states`: name -> view too. `symbols` are float64 cells that the trainer sets; `seed` starts the random draws,
    each of which has a stream of its own. The steps on them are dealt out to so many `ranks`.
    """

    flat: tuple[Array, ...]
    params: dict[str, Array]
    gradients: dict[str, Array]
    symbols: dict[str, NDArray[np.float64]]
    model_states: dict[str, Array] = {}
    seed: int = 0
    streams: dict[str, np.random.Generator] = {}
    ranks: int = 1

    def stream(self, name: str) -> np.random.Generator:
        """The generator of a random draw."""
        if name not in self.streams:
            self.streams[name] = generator(self.seed, f"draw:{name}")
        return self.streams[name]


def allocate(plan: Plan, params: Array | None = None, seed: int = 0, ranks: int = 1) -> Arrays:
    """The arrays of `plan` in its precision: params as given (flat) or zero, gradients zero, states at their start.

    With several `ranks` other processes see what is written to them.
    """
    dtype = np.dtype(plan.precision)
    spans = ranges(plan)
    total = spans[-1][1] if spans else 0
    starts = (0.0 if params is None else params, 0.0, draw(plan.model_states, seed), *(s.init for s in plan.states))
    sizes = (total, total, sum(s.count for s in plan.model_states), *(total for _ in plan.states))
    room = room_for(ranks)
    flat = room.side_by_side(sizes, dtype)
    for array, start in zip(flat, starts, strict=True):
        array[...] = start

    def views(whole: Array) -> dict[str, Array]:
        return {p.name: whole[start:stop].reshape(p.shape) for p, (start, stop) in zip(plan.params, spans, strict=True)}

    states = {
        s.name: flat[MODEL_STATES][start:stop].reshape(s.shape)
        for s, (start, stop) in zip(plan.model_states, state_ranges(plan), strict=True)
    }
    symbols = {name: room.zeros((), np.dtype(np.float64)) for name in SYMBOLS}
    return Arrays(flat, views(flat[PARAMS]), views(flat[GRADIENTS]), symbols, states, seed, ranks=ranks)


class Kernel:
    """The `sections` of `plan` for batches of `rows`: set `inputs`, call `run()`, read `kernel[register]`.

    `inputs` given are used as they are, the others are made; the loss, the reports and the registers `keep` can be read
    after a run. Without `reuse` every value has memory of its own. `run` belongs under `np.errstate(all="ignore")`.
    `look` is shown every value that a step makes, before anything writes over it; what is static, when the kernel is built.
    `independent`: no call whose bits depend on where a row stands takes the place of an operation. `team`: who runs it.
    """

    @undisturbed()
    def __init__(
        self,
        plan: Plan,
        sections: Collection[str],
        rows: int,
        arrays: Arrays,
        keep: Collection[int] = (),
        reuse: bool = True,
        inputs: Mapping[str, Array] | None = None,
        workspace: Array | None = None,
        look: Look | None = None,
        independent: bool = False,
        team: Team | None = None,
    ) -> None:
        team = team or Team()
        room = team.room
        self.dtype = dtype = np.dtype(plan.precision)
        kept = {*keep, plan.loss, *(register for _, register in plan.reports)}
        self.program = expand(plan, sections, rows, kept, team.ranks)
        self.rows = rows
        self.layout = lay_out(self.program, dtype.itemsize, reuse)
        self.workspace = (
            workspace if workspace is not None and workspace.size >= self.layout.arena_bytes else room.bytes(self.layout.arena_bytes)
        )
        self.inputs = {
            v.name: inputs[v.name] if inputs and v.name in inputs else room.zeros(cast("tuple[int, ...]", v.shape), dtype)
            for v in (self.program.values[r] for r in plan.inputs)
        }
        storage = _Storage(self.program, dtype, arrays, self.inputs, self.workspace, self.layout, room)
        with np.errstate(all="ignore"):
            written = _write(self.program, storage, arrays, look, independent, team)
        self._storage = storage
        self.source = written[0].text
        for source in written:
            exec(compile(source.text, "<kernel>", "exec"), source.names)  # made here from numbers, no word of the user's in it
        self.run = team.add([cast("Callable[[], None]", source.names["run"]) for source in written])

    def __getitem__(self, register: int) -> Array:
        """The value of a register of the plan after a run; what the update makes for every param comes flat."""
        found = self.program.pieces.get(register)
        if found is None:
            return self._storage.read(register)
        pieces = [self._storage.read(r) for r in found]
        return pieces[0] if len(pieces) == 1 else np.concatenate([np.empty(0), *(np.atleast_1d(p) for p in pieces)], dtype=self.dtype)


def lay_out(program: Program, itemsize: int, reuse: bool = True) -> Layout:
    """The arena of a program; without `reuse` nothing in it shares."""
    calls = program.calls
    keep = program.alive if reuse else [s.out for s in calls]
    return assign(calls, program.values.values(), keep, program.rows, itemsize, program.elsewhere)


class _Storage:
    """The array of every register: `wide` in float64 for what is static or a scalar, `narrow` in the plan's precision."""

    def __init__(
        self, program: Program, dtype: np.dtype[Any], arrays: Arrays, inputs: Mapping[str, Array], workspace: Array, layout: Layout,
        room: Room,
    ) -> None:  # fmt: skip
        self.dtype, self.room = dtype, room
        self.constants: dict[float, Array] = {}
        self._views: dict[object, Array] = {}
        self.wide: dict[int, Array] = {}
        self.narrow: dict[int, Array] = {}
        for v in program.values.values():
            shape = cast("tuple[int, ...]", v.shape)
            if v.id in program.places:
                place = program.places[v.id]
                self.narrow[v.id] = self._only((place, shape), arrays.flat[place.array][place.start : place.stop].reshape(shape))
            elif v.role == "input":
                self.narrow[v.id] = inputs[v.name]
            elif v.role == "const" or v.role == "symbol":
                known = arrays.symbols[v.name] if v.role == "symbol" and v.name in arrays.symbols else None
                self.wide[v.id] = np.array(v.number if v.number is not None else program.rows) if known is None else known
            elif v.id in layout.offsets or v.id in program.own:
                self.narrow[v.id] = (
                    self._cut(workspace, layout.offsets[v.id], shape) if v.id in layout.offsets else room.empty(shape, dtype)
                )

    def _only(self, key: object, view: Array) -> Array:
        """One object for all that have the same memory and shape: NumPy sees at once that `f(x, y, out=x)` is safe, and of two must find out."""
        return self._views.setdefault(key, view)

    def _cut(self, workspace: Array, offset: int, shape: tuple[int, ...]) -> Array:
        size = int(np.prod(shape, dtype=np.int64)) * self.dtype.itemsize
        return self._only((offset, shape), workspace[offset : offset + size].view(self.dtype).reshape(shape))

    def spread(self, number: Array, shape: tuple[int, ...]) -> Array:
        """A number as an array: a piece of one that all steps share which want it."""
        size = int(np.prod(shape, dtype=np.int64))
        key = number.item()
        if key not in self.constants or self.constants[key].size < size:
            self.constants[key] = np.full(size, number, self.dtype)
        return self.constants[key][:size].reshape(shape)

    def read(self, register: int) -> Array:
        """The register's array, in float64 if it is a scalar that is computed so."""
        return self.wide[register] if register in self.wide else self.narrow[register]


def _write(program: Program, storage: _Storage, arrays: Arrays, look: Look | None, independent: bool, team: Team) -> list[Source]:
    """The function of each member of the team; what is static is computed here, and views are made."""
    lanes = Lanes(team)
    parts = set(program.inner.values())  # of an operation that the plan has as one
    piece = {part: (register, k) for register, parts in program.pieces.items() for k, part in enumerate(parts)} if look else {}
    wide, narrow, dtype, kinds = storage.wide, storage.narrow, storage.dtype, program.kinds
    draws = Counter(str(dict(s.attrs)["stream"]) for s in program.calls if TABLE[s.op].kind == "random")
    replays: dict[str, np.random.Generator] = {}

    def stream_of(name: str) -> np.random.Generator:
        """The generator of a draw; of one that is computed again another, which is set to where that one stood."""
        if name in replays:
            return replays[name]
        stream = arrays.stream(name)
        if draws[name] > 1:
            replays[name] = deepcopy(stream)
            lanes.first(_set_to, (replays[name], stream))
        return stream

    def cast_once(register: int) -> Array:
        """The register in the plan's precision; a scalar is cast in every run, where it is first wanted."""
        if register not in narrow:
            found = wide[register]
            narrow[register] = found if found.dtype == dtype else found.astype(dtype)
            if kinds[register] == "static":
                narrow[register].setflags(write=False)
            elif found.dtype != dtype:
                lanes.each(np.copyto, (narrow[register], found))
        return narrow[register]

    if steps := of_the_step(program):
        ahead = Ahead(steps, wide, program.values, arrays.symbols, dtype)
        wide |= ahead.wide
        narrow |= ahead.narrow
        lanes.each(ahead, ())

    for step in program.body:
        if isinstance(step, Copy):
            target, source = cast_once(step.target), cast_once(step.source)
            lanes.first(np.copyto, (target, source), target, reads=[source] if kinds[step.source] == "array" else ())
            continue
        row, kind = TABLE[step.op], kinds[step.out]
        function = cast("Callable[..., Array]", row.numpy)
        attrs = dict(step.attrs)
        args = [cast_once(a) if kind == "array" else wide[a] for a in step.args]
        if row.kind == "view":
            view = function(*args, **attrs)
            if step.out in program.own or not (np.may_share_memory(view, args[0]) or not view.size):
                view = _copied(lanes, storage.room, function, args, attrs, view, kind)
            (narrow if kind == "array" else wide)[step.out] = view
        elif kind == "array":
            if row.spread:
                args = [
                    storage.spread(a, narrow[step.out].shape) if kinds[r] == "static" and not a.shape else a
                    for a, r in zip(args, step.args, strict=True)
                ]
            drawn = (("stream", stream_of(str(attrs["stream"]))),) if row.kind == "random" else step.attrs
            lanes.operation(row, args, narrow[step.out], drawn, independent, [kinds[a] == "array" for a in step.args])
        elif step.out not in wide:
            shape = cast("tuple[int, ...]", program.values[step.out].shape)
            wide[step.out] = np.empty(shape)
            if kind == "static":
                function(*args, out=wide[step.out], **attrs)
            else:
                lanes.number(row, args, wide[step.out], step.attrs, independent)
        if look is not None and step.out not in parts:
            shown = (*piece.get(step.out, (step.out, 0)), storage.read(step.out))
            if kind == "static":
                look(*shown)
            else:
                lanes.first(look, shown)
    return lanes.sources


def _set_to(replay: np.random.Generator, stream: np.random.Generator) -> None:
    """Lets `replay` draw what `stream` is about to draw."""
    replay.bit_generator.state = stream.bit_generator.state


def _copied(
    lanes: Lanes, room: Room, function: Callable[..., Array], args: list[Array], attrs: dict[str, Any], view: Array, kind: str
) -> Array:
    """An array that has in every run what the view shows, where what that looks at changes, or no view of it has this shape."""
    held = (room if kind == "array" else Room()).empty(view.shape, view.dtype)
    given = (("function", function), ("attrs", attrs))
    if kind == "array":
        lanes.first(_refresh, (held, *args), held, given, reads=args)
    else:
        lanes.each(_refresh, (held, *args), given)
    return held


def _refresh(held: Array, x: Array, function: Callable[..., Array], attrs: dict[str, Any]) -> None:
    """What a view of `x` would show now."""
    held[...] = function(x, **attrs)
