"""The command line: arguments, exit statuses, and the one place where a bug of mlpc's ends.

What a command needs is imported when it runs, so that `mlpc --help` and `mlpc --version` are done at once.
"""

from __future__ import annotations

import argparse
import atexit
import gc
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from types import FrameType
from typing import NoReturn, cast

from .commands import parser
from .signals import abandon

# 3, when the loss is not finite, and 2, of an option's value, come with the error
OK, FAULT, USAGE, BUG, FAILED_IO, INTERRUPTED, TERMINATED = 0, 1, 2, 70, 74, 130, 143


def process() -> NoReturn:
    """`mlpc` as a process of its own: the command of its arguments, and its exit status.

    Python would take every module and value apart before it leaves, which took 20 ms of 400: the system takes the memory back at once.
    What is to come before that comes here too. Where a thread is left, which is waited for, or a debugger or profiler looks on, Python ends as ever.
    """
    status = main()
    if threading.active_count() > 1 or sys.gettrace() is not None or sys.getprofile() is not None:
        sys.exit(status)
    atexit._run_exitfuncs()  # pyright: ignore[reportPrivateUsage]
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):  # one that was closed before we came is None
            stream.flush()
    os._exit(status)


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
        abandon(sys.stdout, sys.stderr)  # `2>&1 |`
        return OK
    except OSError as error:
        abandon(sys.stdout)
        _say("\n   ".join([f"mlpc: reading or writing failed: {error}", *getattr(error, "__notes__", ())]))
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

    command = _command(args.command)
    try:
        return command(args)
    except MlpcError as error:
        _say(str(error))
        return error.status
    except MemoryError:
        fault = Diagnostic("E0501", None, "an array did not fit into memory", "a smaller batch, smaller params, or precision = float32")
        _say(render(fault))
        return FAULT


def _command(name: str) -> Callable[[argparse.Namespace], int]:
    """What runs a command, imported when it is asked for.

    The garbage collector is off meanwhile and passes over it later: modules are no garbage, and its walks over them took 0.1 s.
    """
    module, collecting = f"{__package__}.{name}", gc.isenabled()
    if module not in sys.modules:
        gc.disable()
        try:
            import_module(module)
            gc.freeze()
        finally:
            if collecting:
                gc.enable()
    return cast("Callable[[argparse.Namespace], int]", sys.modules[module].command)


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
