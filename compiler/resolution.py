"""What `train` says, resolved to `Settings`. It needs no data. `override` applies `--set`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from ..dsl.diagnostics import Diagnostic, MlpcError, did_you_mean, fault, nearest
from ..dsl.parse import parse_expression
from ..dsl.syntax import Arg, Assign, Call, Expr, Name, Number, Program, Section, Span, Text
from .constants import whole
from .definitions import Library, bind, signature
from .instances import Frame
from .ir import Interner
from .library import collect
from .lower import Lowering
from .schema import Schema
from .settings import DEFAULTS, KEYS, Criterion, Settings
from .simplify import RULES
from .stopping import criterion


def resolve(program: Program, lib: Library) -> Settings:
    """The settings of a program. Raises every fault of its `train` section: unknown, wrong and missing settings."""
    if program.train is None:
        raise fault(
            "E0303", None, "the file has no `train` section", "add  train { ... }  with  optimizer = adam(lr = 0.01)  and  epochs = 100"
        )
    faults: list[Diagnostic] = []
    given: dict[str, Assign] = {}
    for s in program.train.body:
        if not isinstance(s, Assign):
            continue
        key = s.name.id
        if key not in KEYS:
            faults.append(Diagnostic("E0301", s.name.span, f"`train` has no setting `{key}`", _instead(key)))
        elif key in given:
            faults.append(Diagnostic("E0203", s.name.span, f"`{key}` is already set on line {given[key].span.line}", "keep one of them"))
        else:
            given[key] = s
    reader = _Reader(given, program, lib)
    values = {key: reader.read(key, faults) for key in KEYS}
    span = program.train.keyword.span
    if "optimizer" not in given:
        faults.append(Diagnostic("E0303", span, "`train` needs an `optimizer`", "optimizer = adam(lr = 0.01)"))
    if "epochs" not in given and "steps" not in given:
        faults.append(Diagnostic("E0303", span, "`train` needs `epochs` or `steps`", "epochs = 100"))
    if "epochs" in given and "steps" in given:
        faults.append(
            Diagnostic(
                "E0302", given["steps"].span, "`epochs` and `steps` are both set, and one follows from the other", "keep one of them"
            )
        )
    if values["rng"] == "legacy" and isinstance(values["seed"], int) and values["seed"] >= 2**32:
        message = f"with `rng = legacy` a seed is at most {2**32 - 1}, and this is {values['seed']}"
        faults.append(Diagnostic("E0302", given["seed"].value.span, message, "choose a smaller seed, or rng = default"))
    if faults:
        raise MlpcError(*faults)
    origins = tuple((k, *_told(k, given)) for k in KEYS if k in given or k in DEFAULTS)
    optimizer = values.pop("optimizer")
    return Settings(optimizer=optimizer, origins=origins, **values)  # type: ignore[arg-type]


class _Reader:
    """Reads the value of each key, collecting faults."""

    def __init__(self, given: dict[str, Assign], program: Program, lib: Library) -> None:
        self.given = given
        self.program = program
        self.low = Lowering(Interner(RULES), lib, Schema())

    def read(self, key: str, faults: list[Diagnostic]) -> object:
        e = self.given[key].value if key in self.given else None
        try:
            match key:
                case "optimizer":
                    return None if e is None else self.optimizer(e)
                case "epochs" | "steps":
                    return 0 if e is None else self.count(key, e, 1)
                case "batch":
                    return 32 if e is None else 0 if isinstance(e, Name) and e.id == "all" else self.count(key, e, 1, " or `all`")
                case "seed":
                    return 0 if e is None else self.count(key, e, 0)
                case "shuffle" | "recompute":
                    return self.word(key, e, ("on", "off")) == "on" if e else DEFAULTS[key] == "on"
                case "rng":
                    return self.word(key, e, ("default", "legacy")) if e else "default"
                case "accumulate":
                    return 1 if e is None else self.count(key, e, 1)
                case "clip":
                    return None if e is None else self.clip(e)
                case "early_stop" | "keep":
                    return None if e is None else self.criterion(key, e)
                case _:
                    return self.word(key, e, ("float64", "float32")) if e else "float64"
        except MlpcError as error:
            faults.extend(error.diagnostics)
            return None

    def criterion(self, key: str, e: Expr) -> Criterion | None:
        found = criterion(key, e, self.program, self.low.lib)
        if found is not None and found.patience_text is not None:
            return replace(found, patience=self.count("patience", found.patience_text, 1))
        return found

    def clip(self, e: Expr) -> Expr | None:
        if isinstance(e, Name) and e.id == "off":
            return None
        if isinstance(e, Call) and e.function.id == "norm" and len(e.args) == 1 and e.args[0].name is None:
            return e.args[0].value
        word = e.id if isinstance(e, Name) else ""
        hint = "clip = off" if nearest(word, ("off",)) else "clip = norm(1.0)"
        found = e.span.words
        raise fault("E0302", e.span, f"`clip` is `off` or `norm(c)` with one number c, and this is `{found}`", hint)

    def optimizer(self, e: Expr) -> Call:
        call = Call(e, (), False, e.span) if isinstance(e, Name) else e
        if not isinstance(call, Call):
            raise fault(
                "E0302", e.span, f"an optimizer is an update with its numbers, and this is `{e.span.text}`", "optimizer = sgd(lr = 0.1)"
            )
        found = self.low.lib.find(call.function.id)
        if found is not None and found.kind != "update":
            message = f"`{call.function.id}` is a {found.kind}, and an optimizer is an update"
            raise fault("E0302", call.function.span, message, "optimizer = sgd(lr = 0.1)")
        if found is None:
            names = self.low.lib.names("update")
            raise fault("E0205", call.function.span, f"there is no optimizer `{call.function.id}`", did_you_mean(call.function.id, names))
        return call

    def count(self, key: str, e: Expr, least: int, also: str = "") -> int:
        try:
            n = whole(self.low.constant(e, Frame({})))
        except MlpcError as error:
            if any(d.code in {"E0205", "E0206"} for d in error.diagnostics):
                raise
            n = None
        if n is None or n < least or n > 2**53:
            found = f"`{e.span.text}`" if not isinstance(e, Number) else e.span.text
            raise fault("E0302", e.span, f"`{key}` is a whole number of at least {least}{also}, and this is {found}", self.example(key, e))
        return n

    def example(self, key: str, e: Expr) -> str:
        if key == "batch" and isinstance(e, Name) and nearest(e.id, ("all",)):
            return "did you mean `all`?"
        return {
            "batch": "batch = 32, or batch = all",
            "seed": "seed = 1",
            "steps": "steps = 1000",
            "patience": "patience = 20",
            "accumulate": "accumulate = 4",
        }.get(key, f"{key} = 100")

    def word(self, key: str, e: Expr, words: tuple[str, ...]) -> str:
        if isinstance(e, Name) and e.id in words:
            return e.id
        bare = e.text if isinstance(e, Text) else e.id if isinstance(e, Name) else ""
        near = did_you_mean(bare, words) if bare not in words else f"without quotes: {key} = {bare}"
        near = near if near.startswith(("did", "without")) else f"{key} = {words[0]}, or {key} = {words[1]}"
        raise fault("E0302", e.span, f"`{key}` is {' or '.join(f'`{w}`' for w in words)}, and this is `{e.span.text}`", near)


def optimizer_numbers(program: Program, lib: Library, settings: Settings) -> Iterator[tuple[str, str, str]]:
    """(name, value, where from) of the optimizer's parameters, given or by default: `optimizer.lr`, `0.1`, `line 14`."""
    call = settings.optimizer
    function = lib.find(call.function.id)
    if function is None:
        return

    def place(span: Span) -> str:
        return f"line {span.line}" if span.source is program.source else f"{span.source.name}:{span.line}"

    given = bind(call, signature(function)[2:], function.name)  # the first two stand for a param and its gradient
    for parameter in function.definition.parameters[2:]:
        name = f"optimizer.{parameter.name.id}"
        if parameter.name.id in given:
            span = given[parameter.name.id].span
            yield name, span.words, "command line" if span.source.name.startswith("--set") else place(span)
        elif parameter.default is not None:
            yield name, parameter.default.span.words, f"default, {place(parameter.default.span)}"


def _instead(key: str) -> str:
    """What to write in place of a setting that there is not."""
    if key.lower() in {"lr", "learning_rate", "learningrate", "rate", "momentum", "beta", "beta1", "beta2", "eps", "schedule", "scheduler"}:
        return "it is a number of the optimizer: optimizer = adam(lr = 0.01)"
    if key.lower() in {"weight_decay", "l2", "regularization", "regularisation"}:
        return "it is a term of the loss: + 1e-4 * l2(weights)"
    if key.lower() in {"metrics", "metric"}:
        return "metrics stand in `report`: report accuracy(p, y)"
    return did_you_mean(key, KEYS)


def _told(key: str, given: dict[str, Assign]) -> tuple[str, str]:
    if key not in given:
        return DEFAULTS[key], "default"
    s = given[key]
    where = "command line" if s.span.source.name.startswith("--set") else f"line {s.span.line}"
    return s.value.span.words, where


def override(program: Program, assignments: Iterable[str]) -> Program:
    """The program with `train.epochs=5` or `train.optimizer.lr=0.1` from the command line in place of what it says."""
    for text in assignments:
        path, equals, value = text.partition("=")
        keys = path.strip().split(".")
        name = f"--set {path.strip()}"
        if not equals or len(keys) < 2 or keys[0] != "train":
            raise fault("E0301", None, f"`--set {text}` does not name a setting", "--set train.epochs=5, or --set train.optimizer.lr=0.1")
        e = parse_expression(value, name)
        train = program.train or Section(Name("train", e.span), (), e.span)
        program = replace(program, train=_set(program, train, keys[1:], e, text))
    return program


def _by_name(call: Call, program: Program) -> Iterator[Arg]:
    """The arguments of an optimizer, those without a name by the parameter that they are for."""
    function = collect(program)[0].find(call.function.id)
    names = [p.name.id for p in function.definition.parameters[2:]] if function else []
    for i, arg in enumerate(call.args):
        yield replace(arg, name=Name(names[i], arg.span)) if arg.name is None and i < len(names) else arg


def _set(program: Program, train: Section, keys: list[str], e: Expr, text: str) -> Section:
    body = list(train.body)
    index = next((i for i, s in enumerate(body) if isinstance(s, Assign) and s.name.id == keys[0]), None)
    if len(keys) == 1:
        if keys[0] not in KEYS:
            raise fault("E0301", None, f"`train` has no setting `{keys[0]}`", did_you_mean(keys[0], KEYS))
        # the span of the value, so that a fault shows the command line
        made = Assign(Name(keys[0], e.span), e, e.span)
        if index is None:
            body.append(made)
        else:
            body[index] = made
        if keys[0] in {"epochs", "steps"}:  # the one follows from the other: what the command line says replaces both
            other = "steps" if keys[0] == "epochs" else "epochs"
            body = [s for s in body if not (isinstance(s, Assign) and s.name.id == other)]
        return replace(train, body=tuple(body))
    if keys[0] not in KEYS:
        raise fault("E0301", None, f"`train` has no setting `{keys[0]}`", did_you_mean(keys[0], KEYS))
    statement = body[index] if index is not None else None
    if len(keys) > 2 or not isinstance(statement, Assign) or not isinstance(statement.value, (Call, Name)):
        raise fault("E0301", None, f"`--set {text}` does not name a setting", f"`train.{keys[0]}` has no parts here")
    old = statement.value if isinstance(statement.value, Call) else Call(statement.value, (), False, statement.value.span)
    arg = Arg(Name(keys[1], e.span), e, e.span)
    kept = tuple(a for a in _by_name(old, program) if a.name is None or a.name.id != keys[1])
    assert index is not None
    body[index] = replace(statement, value=replace(old, args=(*kept, arg)))
    return replace(train, body=tuple(body))
