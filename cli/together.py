"""Options that are each right and do not go together: what is amiss, and perhaps a hint; () if nothing is."""

from __future__ import annotations

import argparse


def run(args: argparse.Namespace) -> tuple[str, ...]:
    """Of `mlpc run`."""
    if args.folds is not None and args.overfit is not None:
        return ("--overfit asks of some training rows, and --folds holds rows out", "leave --folds out")
    if args.no_out and args.checkpoint_every is not None:
        return ("--checkpoint-every saves into the run's folder, and --no-out has none",)
    if args.resume is None:
        return () if args.file is not None else ("the model is missing", "mlpc run FILE, or mlpc run --resume RUN")
    for option, given in (
        ("--init", args.init is not None),
        ("--dry-run", args.dry_run),
        ("--overfit", args.overfit),
        ("--folds", args.folds),
    ):
        if given:
            return (f"{option} is for a run that begins, and --resume goes on with one",)
    return ()


def sweep(args: argparse.Namespace) -> tuple[str, ...]:
    """Of `mlpc sweep`."""
    if args.resume is None:
        return () if args.file is not None else ("the model is missing", "mlpc sweep FILE, or mlpc sweep --resume DIR")
    for name in ("set", "seed", "random", "folds", "threads", "init"):
        if getattr(args, name):
            return (f"--{name} is for a sweep that begins, and --resume goes on with one",)
    return ()


def plan(args: argparse.Namespace) -> tuple[str, ...]:
    """Of `mlpc plan`."""
    given = [f"--{name}" for name in ("prediction", "all", "facts", "defaults") if getattr(args, name)]
    if args.why is not None and given:
        return (f"{given[0]} is of the whole page, and --why shows how one line comes about",)
    if args.latex and (args.facts or args.defaults):
        return (f"{'--facts' if args.facts else '--defaults'} is not part of the document that --latex writes", "--json has all")
    if args.prediction and args.defaults:
        return ("--defaults shows the settings of training, and --prediction has none",)
    return ()


def explain(args: argparse.Namespace) -> tuple[str, ...]:
    """Of `mlpc explain`."""
    if args.data_root is not None and args.file is None:
        return ("--data-root says where the imports of a file may lie, and there is no file", "mlpc explain NAME --in FILE --data-root DIR")
    return ()
