"""The commands with their options, and how what is wrong with a line of them is said."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from . import together
from .options import count, duration, folds, interval, positive, rows

USAGE = 2

STATUSES = """exit status: 0 well; 1 the input is at fault, or a question is answered no; 2 the command line; 3 the loss is not finite;
70 a bug in mlpc, or a wrong gradient; 74 reading or writing failed; 130 Ctrl-C; 143 SIGTERM; 129 SIGHUP.
A closed pipe is no failure, but stops a training: 141."""

DESCRIPTION = "A page of mathematics in; its gradient plan out; and exactly those lines run on NumPy."


def parser() -> argparse.ArgumentParser:
    """All commands with their options."""
    top = _Parser(prog="mlpc", description=DESCRIPTION, epilog=STATUSES, formatter_class=_Help, allow_abbrev=False)
    top.add_argument("--version", action=_Version, help="the version, and no more")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=_Parser)

    new = _bare(commands, "new", "write a model file from a table, or copy an example", "mlpc new data/iris.csv --target species")
    new.add_argument("data", metavar="DATA", nargs="?", help="the table: .csv .tsv .npz .npy .parquet; the model is written beside it")
    new.add_argument("--target", metavar="COLUMN", help="the column to predict")
    new.add_argument("--example", metavar="NAME", nargs="?", const="", help="a model of the gallery, with its data; without a name, a list")
    new.add_argument(
        "-o", dest="output", metavar="FILE", help="the file to write, or the folder; the data must lie beneath it; - prints it"
    )
    new.add_argument("--force", action="store_true", help="write over what is there")
    new.add_argument("--dry-run", action="store_true", help="print the model, and write nothing")

    run = _command(commands, "run", "train a model and measure it", "mlpc run models/iris.mlp --set train.epochs=50", file="?")
    _training_options(run)
    run.add_argument(
        "--every", type=positive, metavar="K", help="print each K-th epoch, on a terminal too; with --json, give the history of these"
    )
    run.add_argument(
        "--threads", type=positive, metavar="N", help="processes that share each step (default: what the plan is worth; bits depend on it)"
    )
    place = run.add_mutually_exclusive_group()
    place.add_argument(
        "--out", metavar="DIR", help="keep the run in DIR, new or empty (default: runs/<model>-<n>, the first n that is free)"
    )
    place.add_argument("--no-out", action="store_true", help="keep nothing")
    place.add_argument("--resume", metavar="RUN", help="go on with the run in that folder where it was left, to the same bits")
    run.wrong = together.run
    run.add_argument(
        "--checkpoint-every", type=interval, metavar="TIME",
        help="save where it is every 60s (the default), 10m or 5epochs, to resume from there; off: only when it is stopped",
    )  # fmt: skip
    run.add_argument("--init", metavar="RUN", help="begin with the weights of a run: its folder, or its weights.safetensors")
    run.add_argument(
        "--max-time",
        type=duration,
        metavar="TIME",
        help="stop training (with --folds: of each) after 90s, 10m or 1h30m, and measure and keep what there is",
    )
    run.add_argument(
        "--folds", type=folds, metavar="K",
        help="cut the train and val rows into K folds and train K times, each time with one held out as val: mean and sd",
    )  # fmt: skip
    run.add_argument("--dry-run", action="store_true", help="do all but train and keep: say what it would do, and its first loss")
    run.add_argument(
        "--overfit", type=positive, metavar="N", help="only say whether it can learn N of its training rows; status 1 if it cannot"
    )
    run.add_argument("--watch", action="append", default=[], metavar="NAME", help="print norm, range and histogram of a value or a "
                     "gradient after each epoch: h, dz2, g3; may be repeated")  # fmt: skip
    run.add_argument("--on-nan", choices=("stop", "warn"), metavar="WHAT",
                     help="a loss that is not finite: stop, status 3 (the default), or warn and go on")  # fmt: skip
    run.add_argument("--no-cache", action="store_true", help="compile anew, and keep no plan for the next run of this file")
    run.add_argument("--curve", action="store_true", help="draw the losses over the epochs, as on a terminal")

    sweep = _command(commands, "sweep", "run a model with every combination of some settings", "mlpc sweep models/iris.mlp --set train.optimizer.lr=0.1,0.01",
                     file="?", swept=True)  # fmt: skip
    _training_options(sweep)
    sweep.add_argument("--by", metavar="NAME", help="the best first by val.loss, val.accuracy, or `val.own,max`"
                       " (default: what `keep` watches, else val.loss, else train.loss; never test)")  # fmt: skip
    sweep.add_argument(
        "--jobs", type=positive, metavar="N", help="runs at a time (default: as many as cores and memory allow; changes no number)"
    )
    sweep.add_argument("--random", type=positive, metavar="N", help="only N combinations, drawn from all")
    sweep.add_argument("--random-seed", type=count, default=0, metavar="N", help="what they are drawn by (default: 0)")
    sweep.add_argument("--folds", type=folds, metavar="K", help="each run as `mlpc run --folds K`, and the table of their means")
    sweep.add_argument(
        "--threads", type=positive, metavar="N", help="processes that share each step of a run (default: what its plan is worth)"
    )
    sweep.add_argument("--init", metavar="RUN", help="begin each with the weights of a run: its folder, or its weights.safetensors")
    kept = sweep.add_mutually_exclusive_group()
    kept.add_argument("--out", metavar="DIR", help="keep the runs in DIR, new or empty (default: runs/<model>-sweep-<n>)")
    kept.add_argument("--no-out", action="store_true", help="keep nothing but the table")
    kept.add_argument("--resume", metavar="DIR", help="go on with the sweep in that folder: with the runs that it has not done")
    sweep.wrong = together.sweep

    predict = _bare(commands, "predict", "predict rows that a run has not seen", "mlpc predict runs/iris-1 flowers.csv -o species.csv")
    _rows_for_a_run(predict)
    predict.add_argument(
        "-o", dest="output", metavar="FILE", help="write the table there, whole or not at all (default, and with -: stdout)"
    )
    predict.add_argument("--proba", action="store_true", help="the probability of each class, a column a class")
    predict.add_argument("--value", metavar="NAME", help="another value of the model than its output: a second head, a hidden value")

    evaluate = _bare(commands, "evaluate", "measure a run on rows that have their targets", "mlpc evaluate runs/iris-1 flowers.csv")
    _rows_for_a_run(evaluate)

    report = _bare(commands, "report", "make one page of HTML of a run: its curves, its errors, its plan", "mlpc report runs/iris-1 --open")
    report.add_argument("run", metavar="RUN", help="the folder of a run, ended or not")
    report.add_argument("-o", "--out", metavar="FILE", help="where to write it (default: report.html in the run's folder)")
    report.add_argument("--open", action="store_true", help="show it in the browser")

    runs = _bare(commands, "runs", "list runs, or compare two", "mlpc runs --by test.accuracy")
    runs.add_argument("paths", metavar="PATH", nargs="*", help="folders of runs, or runs (default: runs); of two runs, what separates them")
    runs.add_argument("--by", metavar="COLUMN", help="the best first: test.accuracy, val.loss, time; else the oldest first")
    runs.add_argument("--reverse", action="store_true", help="the other way round")

    latex = "the plan as a document for pdflatex, its lines as equations"
    plan = _command(commands, "plan", "print the lines that will run: forward, gradient, update", "mlpc plan models/notebook.mlp", latex)
    plan.add_argument("--all", action="store_true", help="print every line, those too that come again under other names: repeat(k, ...)")
    plan.add_argument("--why", metavar="NAME", help="how a line comes about, called by its name or its id: dz2, loss, g1")
    plan.add_argument("--prediction", action="store_true", help="the lines that prediction runs: from the inputs to the output")
    plan.add_argument("--facts", action="store_true", help="print what is known of every value too: one-hot, a distribution, >= 0 ...")
    plan.add_argument("--defaults", action="store_true", help="print every setting too, and where it comes from")
    plan.wrong = together.plan

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
    explain.add_argument(
        "--in", dest="file", metavar="FILE", help="what a model defines and imports too: mlpc explain mish --in models/penguins.mlp"
    )
    _data_root(explain)
    explain.wrong = together.explain
    explain.add_argument("--list", action="store_true", help="every word that has a page, as without a word")

    diff = _command(commands, "diff", "show what separates the plans of two files, or runs", "mlpc diff models/iris.mlp models/digits.mlp")
    diff.add_argument(
        "other", metavar="OTHER", help="the second model, with the same --set and --data-root; either may be the folder of a run"
    )
    diff.add_argument("--prediction", action="store_true", help="only the lines from the inputs to the output, as prediction runs them")
    diff.add_argument("--all", action="store_true", help="every change by itself; without it, what comes again under other names is folded")
    diff.add_argument("--exit-code", action="store_true", help="status 1 if there is a difference; without it, 0 all the same")

    fmt = _bare(commands, "fmt", "lay files out in the one way there is; it has no options of style", "mlpc fmt models/iris.mlp --diff")
    fmt.add_argument("files", nargs="+", metavar="FILE", help="a .mlp file, rewritten in place; - reads stdin and writes stdout")
    fmt.add_argument("--check", action="store_true", help="write nothing; name the files that would change, status 1 if there are any")
    fmt.add_argument("--diff", action="store_true", help="write nothing; print what would change")
    return top


def _command(
    commands: Any, name: str, purpose: str, example: str, latex: str = "", file: str | None = None, swept: bool = False
) -> _Parser:
    """A command on a model, with the options that all of these have. `file` "?": it may do without one. `swept`: settings have several values."""
    made = _bare(commands, name, purpose, example, latex)
    made.add_argument(
        "file",
        nargs=file,
        metavar="FILE",
        help="the model, a .mlp file" + "; with --resume: where it is now, if it has moved" * (file == "?"),
    )
    made.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="train.KEY=A,B" if swept else "train.KEY=VALUE",
        help="each of these in place of what the file says; repeated, each with each"
        if swept
        else "in place of what the file says; may be repeated",
    )
    made.add_argument("--seed", type=count, metavar="N", help="short for --set train.seed=N")
    _data_root(made)
    return made


def _data_root(command: _Parser) -> None:
    command.add_argument("--data-root", metavar="DIR", help="let data and imports be read beneath DIR too, beside the model's folder")


def _bare(commands: Any, name: str, purpose: str, example: str, latex: str = "") -> _Parser:
    """A command with its help, its example and --json; with --latex, which is not both, if `latex` says what that gives."""
    made: _Parser = commands.add_parser(
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


def _rows_for_a_run(command: argparse.ArgumentParser) -> None:
    command.add_argument("run", metavar="RUN", help="the folder of a run, or its weights.safetensors")
    command.add_argument("data", metavar="DATA", help="raw rows: .csv .tsv .npz .npy .parquet, columns in any order; - is .csv from stdin")


class _Parser(argparse.ArgumentParser):
    """One that ends with status 2 and the near word. `wrong`: what is amiss with options that are each right, and perhaps a hint."""

    wrong: Callable[[argparse.Namespace], tuple[str, ...]] = staticmethod(lambda _: ())

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
        if wrong := self.wrong(found):
            self.error(*wrong)
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
