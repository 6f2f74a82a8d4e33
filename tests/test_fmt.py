"""`mlpc fmt`: what is written where, and that a file is never lost."""

from __future__ import annotations

import io
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from mlpc.cli.main import main
from mlpc.runtime import atomic

UGLY = "# ein Käfer\nfn f(x)=x\nloss=1\n"
NEAT = "# ein Käfer\nfn f(x) = x\nloss = 1\n"


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]):
    def call(*argv: object) -> tuple[int, str, str]:
        status = main(["fmt", *map(str, argv)])
        found = capsys.readouterr()
        return status, found.out, found.err

    return call


@pytest.fixture
def ugly(tmp_path: Path) -> Path:
    path = tmp_path / "ugly.mlp"
    path.write_text(UGLY, "utf-8")
    return path


def stdin(monkeypatch: pytest.MonkeyPatch, text: bytes) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text), "ascii"))


def test_a_file_is_rewritten_and_then_left_alone(ask, ugly: Path) -> None:
    assert ask(ugly) == (0, f"formatted {ugly}\n", "")
    assert ugly.read_text("utf-8") == NEAT
    before = ugly.stat()
    assert ask(ugly) == (0, "", "")
    assert (ugly.stat().st_ino, ugly.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert [p.name for p in ugly.parent.iterdir()] == ["ugly.mlp"]


def test_check_names_what_would_change_and_writes_nothing(ask, ugly: Path, tmp_path: Path) -> None:
    neat = tmp_path / "neat.mlp"
    neat.write_text(NEAT, "utf-8")
    assert ask(ugly, neat, "--check") == (1, f"{ugly}\n", "")
    assert ask(neat, "--check") == (0, "", "")
    assert ugly.read_text("utf-8") == UGLY


def test_diff_is_one_that_patch_reads(ask, ugly: Path) -> None:
    ugly.write_text(UGLY.rstrip("\n"), "utf-8")
    status, out, _ = ask(ugly, "--diff")
    head, body = f"--- {ugly}\n+++ {ugly} (formatted)\n@@ -1,3 +1,3 @@\n # ein Käfer\n", "-fn f(x)=x\n-loss=1\n"
    assert (status, out) == (0, f"{head}{body}\\ No newline at end of file\n+fn f(x) = x\n+loss = 1\n")
    assert ask(ugly, "--diff", "--check")[:2] == (1, out)
    assert ugly.read_text("utf-8") == UGLY.rstrip("\n")


def test_other_newlines_are_a_change(ask, ugly: Path) -> None:
    ugly.write_bytes(NEAT.replace("\n", "\r\n").encode())
    assert ask(ugly, "--check")[0] == 1 and ask(ugly)[0] == 0
    assert ugly.read_bytes() == NEAT.encode()


def test_stdin_goes_to_stdout_in_utf8(ask, monkeypatch: pytest.MonkeyPatch) -> None:
    stdin(monkeypatch, UGLY.encode())
    assert ask("-") == (0, NEAT, "")
    stdin(monkeypatch, UGLY.encode())
    assert ask("-", "--check") == (1, "-\n", "")
    command = [sys.executable, "-m", "mlpc", "fmt", "-"]
    done = subprocess.run(command, input=UGLY.encode(), capture_output=True, timeout=60, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert (done.returncode, done.stdout) == (0, NEAT.encode())


def test_a_faulty_file_is_refused_and_the_others_are_not(ask, ugly: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.mlp"
    bad.write_text("loss =\n", "utf-8")
    status, out, err = ask(bad, tmp_path / "none.mlp", ugly)
    assert (status, out) == (1, f"formatted {ugly}\n")
    assert "bad.mlp:1" in err and "E0103" in err and "E0502" in err
    assert bad.read_text("utf-8") == "loss =\n" and ugly.read_text("utf-8") == NEAT


def test_a_faulty_stdin_writes_nothing(ask, monkeypatch: pytest.MonkeyPatch) -> None:
    stdin(monkeypatch, b"loss =")
    status, out, err = ask("-")
    assert (status, out) == (1, "") and "stdin:1" in err


def test_json(ask, ugly: Path) -> None:
    status, out, _ = ask(ugly, "--json", "--check", "--diff")
    (found,) = json.loads(out)["files"]
    assert (status, found["file"], found["changed"], found["written"]) == (1, str(ugly), True, False)
    assert "+loss = 1" in found["diff"]
    assert json.loads(ask(ugly, "--json")[1]) == {"format": 1, "files": [{"file": str(ugly), "changed": True, "written": True}]}


def test_the_mode_and_a_link_are_kept(ask, ugly: Path, tmp_path: Path) -> None:
    ugly.chmod(0o640)
    link = tmp_path / "elsewhere" / "link.mlp"
    link.parent.mkdir()
    link.symlink_to(ugly)
    assert ask(link)[0] == 0
    assert link.is_symlink() and ugly.read_text("utf-8") == NEAT
    assert stat.S_IMODE(ugly.stat().st_mode) == 0o640
    assert [p.name for p in link.parent.iterdir()] == ["link.mlp"]


@pytest.mark.parametrize("step", ["fsync", "replace", "fchmod"])
def test_a_failure_leaves_the_old_file_alone(ask, ugly: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic.os, step, full)
    status, _, err = ask(ugly)
    assert status == 74 and "No space left" in err
    assert ugly.read_text("utf-8") == UGLY and [p.name for p in ugly.parent.iterdir()] == ["ugly.mlp"]


def test_a_file_that_may_not_be_written_is_not(ask, ugly: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atomic.os, "access", lambda *args: False)  # root may write all
    status, _, err = ask(ugly)
    assert status == 74 and "read-only" in err and ugly.read_text("utf-8") == UGLY
