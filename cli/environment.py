"""What the numbers were made by: versions, the BLAS, the processor."""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_info

from .. import __version__


def environment() -> dict[str, str]:
    """mlpc, python, numpy, blas and cpu, each in a few words."""
    return dict(_found())


@cache
def _found() -> dict[str, str]:
    return {"mlpc": __version__, "python": platform.python_version(), "numpy": np.__version__, "blas": _blas(), "cpu": _cpu()}


def _blas() -> str:
    found = [i for i in threadpool_info() if i.get("user_api") == "blas"]
    return ", ".join(" ".join(str(i.get(k)) for k in ("internal_api", "version", "architecture") if i.get(k)) for i in found) or "unknown"


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
