"""The command line: arguments, exit statuses, and the one place where a bug of mlpc's ends.

What a command needs is imported when it runs, so that `mlpc --help` and `mlpc --version` are done at once.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from types import FrameType
from typing import Any, NoReturn, cast

from .options import count, duration, positive, rows

# 3, when the loss is not finite, and 2, of an option's value, come with the error
OK, FAULT, USAGE, BUG, FAILED_IO, INTERRUPTED, TERMINATED = 0, 1, 2, 70, 74, 130, 143

STATUSES = """exit status: 0 well; 1 the input is at fault, or a question is answered no; 2 the command line; 3 the loss is not finite;
70 a bug in mlpc, or a wrong gradient; 74 reading or writing failed; 130 Ctrl-C; 143 SIGTERM. A closed pipe is no failure."""

DESCRIPTION = "A page of mathematics in; its gradient plan out; and exactly those lines run on NumPy."


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and gives its exit status."""
    given = list(sys.argv[1:] if argv is None else argv)
    try:
        with _terminable():
            status = _run(given)
            _flush()
            return status
    except KeyboardInterrupt:
        _say("stopped by Ctrl-C")
        return INTERRUPTED
    except Terminated:
        _say("stopped by SIGTERM")
        return TERMINATED
    except BrokenPipeError:
        _abandon_stdout()
        return OK
    except OSError as error:
        _abandon_stdout()
        _say(f"mlpc: reading or writing failed: {error}")
        return FAILED_IO
    except Exception as error:  # noqa: BLE001  the one handler: what arrives here is no fault of the user's
        return _bug(error, given)


class Terminated(BaseException):
    """SIGTERM arrived. Like KeyboardInterrupt, nothing but the top handles it."""


def _run(argv: list[str]) -> int:
    try:
        args = parser().parse_args(argv)
        args.words = argv
    except SystemExit as exit_:  # argparse has said what is wrong, or what was asked for
        return cast("int", exit_.code)
    from ..dsl.diagnostics import Diagnostic, MlpcError, render

    command = cast("Callable[[argparse.Namespace], int]", import_module(f".{args.command}", __package__).command)
    try:
        return command(args)
    except MlpcError as error:
        _say(str(error))
        return error.status
    except MemoryError:
        fault = Diagnostic("E0501", None, "an array did not fit into memory", "a smaller batch, smaller params, or precision = float32")
        _say(render(fault))
        return FAULT


def parser() -> argparse.ArgumentParser:
    """All commands with their options."""
    top = _Parser(prog="mlpc", description=DESCRIPTION, epilog=STATUSES, formatter_class=_Help, allow_abbrev=False)
    top.add_argument("--version", action=_Version, help="the version, and no more")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=_Parser)

    run = _command(commands, "run", "train a model and measure it", "mlpc run models/iris.mlp --set train.epochs=50")
    _training_options(run)
    run.add_argument(
        "--every", type=positive, metavar="K", help="print each K-th epoch, on a terminal too; with --json, give the history of these"
    )
    run.add_argument("--threads", type=positive, metavar="N", help="threads of BLAS (default: what the plan is worth; bits depend on it)")
    place = run.add_mutually_exclusive_group()
    place.add_argument(
        "--out", metavar="DIR", help="keep the run in DIR, new or empty (default: runs/<model>-<n>, the first n that is free)"
    )
    place.add_argument("--no-out", action="store_true", help="keep nothing")
    run.add_argument("--init", metavar="RUN", help="begin with the weights of a run: its folder, or its weights.safetensors")
    run.add_argument(
        "--max-time", type=duration, metavar="TIME", help="stop training after 90s, 10m or 1h30m, and measure and keep what there is"
    )
    run.add_argument("--dry-run", action="store_true", help="do all but train and keep: say what it would do, and its first loss")
    run.add_argument("--curve", action="store_true", help="draw the losses over the epochs, as on a terminal")

    latex = "the plan as a document for pdflatex, its lines as equations"
    plan = _command(commands, "plan", "print the lines that will run: forward, gradient, update", "mlpc plan models/notebook.mlp", latex)
    plan.add_argument("--all", action="store_true", help="print every line, those too that come again under other names: repeat(k, ...)")
    plan.add_argument("--why", metavar="NAME", help="how a line comes about, called by its name or its id: dz2, loss, g1")
    plan.add_argument("--prediction", action="store_true", help="the lines that prediction runs: from the inputs to the output")
    plan.add_argument("--facts", action="store_true", help="print what is known of every value too: one-hot, a distribution, >= 0 ...")
    plan.add_argument("--defaults", action="store_true", help="print every setting too, and where it comes from")

    trace = _command(commands, "trace", "print every number of one training step", "mlpc trace models/notebook.mlp --step 2 --values dz2")
    _training_options(trace)
    trace.add_argument("--step", type=positive, default=1, metavar="K", help="the step to show, after K - 1 others (default: 1)")
    trace.add_argument("--values", action="extend", nargs="+", default=[], metavar="NAME", help="only these values or lines: dz2 w1 g3")
    trace.add_argument(
        "--rows", type=rows, default=6, metavar="N|all", help="rows of a matrix to show, the first and the last (default: 6)"
    )
    trace.add_argument("--no-check", action="store_true", help="do not compare the gradients with central differences")

    check = _command(commands, "check", "compare every gradient with differences of the loss", "mlpc check models/iris.mlp")
    _training_options(check)
    check.add_argument("--strict", action="store_true", help="status 1 if a gradient could not be judged, or there is a warning")

    explain = _bare(commands, "explain", "say what a word of mlpc means: a code, a function, a rewrite, an operation", "mlpc explain gelu")
    explain.add_argument(
        "word",
        metavar="WORD",
        nargs="*",
        help="E0231, as an error prints it; gelu, any name of std/; log_softmax, a rewrite; matmul or @, an operation; chain rule",
    )
    explain.add_argument("--list", action="store_true", help="every word that has a page, as without a word")

    diff = _command(commands, "diff", "show what separates the plans of two files", "mlpc diff models/iris.mlp models/digits.mlp")
    diff.add_argument("other", metavar="OTHER", help="the second model, with the same --set and --data-root")
    diff.add_argument("--prediction", action="store_true", help="only the lines from the inputs to the output, as prediction runs them")
    diff.add_argument("--exit-code", action="store_true", help="status 1 if there is a difference; without it, 0 all the same")

    fmt = _bare(commands, "fmt", "lay files out in the one way there is; it has no options of style", "mlpc fmt models/iris.mlp --diff")
    fmt.add_argument("files", nargs="+", metavar="FILE", help="a .mlp file, rewritten in place; - reads stdin and writes stdout")
    fmt.add_argument("--check", action="store_true", help="write nothing; name the files that would change, status 1 if there are any")
    fmt.add_argument("--diff", action="store_true", help="write nothing; print what would change")
    return top


def _command(commands: Any, name: str, purpose: str, example: str, latex: str = "") -> argparse.ArgumentParser:
    """A command on a model, with the options that all of these have."""
    made = _bare(commands, name, purpose, example, latex)
    made.add_argument("file", metavar="FILE", help="the model, a .mlp file")
    made.add_argument(
        "--set", action="append", default=[], metavar="train.KEY=VALUE", help="in place of what the file says; may be repeated"
    )
    made.add_argument("--seed", type=count, metavar="N", help="short for --set train.seed=N")
    made.add_argument("--data-root", metavar="DIR", help="let data and imports be read beneath DIR too, beside the model's folder")
    return made


def _bare(commands: Any, name: str, purpose: str, example: str, latex: str = "") -> argparse.ArgumentParser:
    """A command with its help, its example and --json; with --latex, which is not both, if `latex` says what that gives."""
    made: argparse.ArgumentParser = commands.add_parser(
        name,
        help=purpose,
        description=f"{purpose[0].upper()}{purpose[1:]}.",
        epilog=f"example:  {example}\n\n{STATUSES}",
        formatter_class=_Help,
        allow_abbrev=False,
    )
    form = made.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one JSON document on stdout, and nothing else there")
    if latex:
        form.add_argument("--latex", action="store_true", help=latex)
    return made


def _training_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--max-memory", default="80%", metavar="SIZE", help="refuse what would take more: 2GB, or 50%% of what is free (default: 80%%)"
    )


class _Parser(argparse.ArgumentParser):
    """One that ends with status 2 and the near word."""

    def error(self, message: str, hint: str = "") -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(USAGE, f"{self.prog}: error: {message}\n{' ' * 3}hint: {hint or f'{self.prog} --help'}\n")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Refuses what it does not know itself, each command in its own name: argparse leaves it to the parser above."""
        for word in args:
            option = word.partition("=")[0]
            if option == "--" or (self._subparsers and not option.startswith("-")):
                break  # no options follow, or those of the command
            if option.startswith("--") and option not in self._option_string_actions:
                from ..dsl.diagnostics import did_you_mean

                near = did_you_mean(option, (o for o in self._option_string_actions if o.startswith("--")))
                self.error(f"there is no option {option}", near if near.startswith("did") else "")
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return found, unknown

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            from ..dsl.diagnostics import did_you_mean

            what = (action.metavar or action.dest or "value").lower() if isinstance(action.metavar, str) else action.dest
            self.error(f"there is no {what} {value!r}", did_you_mean(str(value), map(str, action.choices)))


class _Help(argparse.RawDescriptionHelpFormatter):
    """Help as wide as a page."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28, width=110)


class _Version(argparse.Action):
    """Looks the version up only when it is asked for."""

    def __init__(self, option_strings: Sequence[str], dest: str, help: str | None = None) -> None:
        super().__init__(option_strings, dest=argparse.SUPPRESS, default=argparse.SUPPRESS, nargs=0, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *rest: object) -> None:
        from .. import __version__

        print(f"mlpc {__version__}")
        parser.exit()


@contextmanager
def _terminable() -> Generator[None]:
    """SIGTERM raises `Terminated` in here; what handled it before does so again afterwards."""

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        raise Terminated

    try:
        before = signal.signal(signal.SIGTERM, stop)
    except ValueError:  # not in the main thread, where signals do not arrive
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _flush() -> None:
    if sys.stdout is not None:  # pyright: ignore[reportUnnecessaryComparison]  it is None where it was closed
        sys.stdout.flush()


def _abandon_stdout() -> None:
    """What is still in the buffer goes nowhere, or the interpreter would complain of it at its end."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
    except (OSError, ValueError, AttributeError):  # not a file, as in a test
        pass


def _say(text: str) -> None:
    """On stderr, if there is one."""
    if sys.stderr is None:  # pyright: ignore[reportUnnecessaryComparison]  closed before we came; print would take stdout
        return
    with suppress(OSError, ValueError):
        print(text.encode("utf-8", "backslashreplace").decode("utf-8"), file=sys.stderr, flush=True)


def _bug(error: Exception, argv: list[str]) -> int:
    """Status 70: says that it is a bug, where, and what to send."""
    if os.environ.get("MLPC_TRACEBACK") == "1":
        import traceback

        _say("".join(traceback.format_exception(error)).rstrip())
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    place = f" ({os.path.basename(last.tb_frame.f_code.co_filename)}:{last.tb_lineno})" if last else ""
    cause = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    _say(f"mlpc: this is a bug in mlpc, not in your file\n   what happened: {cause}{place}\n   while running: mlpc {' '.join(argv)}")
    _say("   please report it with the file; MLPC_TRACEBACK=1 shows where it comes from")
    return BUG
