"""What all tests share: tools that a machine may lack, seeds, Hypothesis's settings."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import settings

ABSENT = pytest.StashKey[Counter[str]]()
SEED = os.environ.get("MLPC_SEED", "")
os.environ["MLPC_CACHE_DIR"] = f"{os.devnull}/mlpc"  # no test finds a plan that another one has left; those of the cache have their own

settings.register_profile("mlpc", deadline=None, print_blob=True)  # the machine is shared: how long an example takes says nothing
settings.register_profile("mlpc-ci", settings.get_profile("mlpc"), derandomize=True)
settings.register_profile("mlpc-campaign", settings.get_profile("mlpc"), max_examples=1000)
settings.load_profile("mlpc-campaign" if SEED else "mlpc-ci" if os.environ.get("CI") else "mlpc")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    config.stash[ABSENT] = Counter()
    if SEED:  # before Hypothesis's own plugin reads its option
        config.option.hypothesis_seed = SEED


def pytest_report_header() -> str:
    return f"MLPC_SEED={SEED or '(none: 0)'}"


@pytest.fixture
def needs(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """`needs("chromium")`, `needs("torch")`: skip without that command or module; fail if MLPC_REQUIRE names it or says all."""

    def need(tool: str) -> None:
        if shutil.which(tool) or importlib.util.find_spec(tool):
            return
        required = os.environ.get("MLPC_REQUIRE", "").split(",")
        if "all" in required or tool in required:
            pytest.fail(f"{tool} is not installed, and MLPC_REQUIRE={os.environ['MLPC_REQUIRE']} asks for it", pytrace=False)
        request.config.stash[ABSENT][tool] += 1
        pytest.skip(f"{tool} is not installed")

    return need


@pytest.fixture
def seed() -> int:
    """The seed of a campaign: MLPC_SEED or 0; pytest shows the printed line when the test fails."""
    number = int(SEED or 0)
    print(f"to repeat: MLPC_SEED={number} make campaign")
    return number


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The last lines before pytest's own: what was not tested here, so that a skip is never silent."""
    for tool, count in sorted(config.stash[ABSENT].items()):
        terminalreporter.write_line(f"absent: {tool}, which cost {count} test{'s' if count > 1 else ''}")
