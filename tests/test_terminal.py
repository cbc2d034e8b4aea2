"""The terminal contract: plain off a terminal, and on one no name is cut, however narrow."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pexpect
import pytest
from conftest import TINY, lossbench

COMMANDS = {
    "show": ("show", "RESULTS"),
    "compare": ("compare", "RESULTS:loss=docs", "RESULTS:loss=blog"),
    "explain": ("explain", "blog", "--d", "784", "--k", "2"),
    "predict": ("predict", "--dataset", "digits", "--d", "16", "--loss", "blog,keras-io-2020"),
}
SOME = [
    *("show", "explain"),
    *(pytest.param(name, marks=pytest.mark.slow) for name in COMMANDS if name[0] in "cp"),
]
NAMES = {
    "show": ("blog", "docs"),
    "compare": ("blog", "docs", "reconstruction"),
    "explain": ("blog", "beta_eff"),
    "predict": ("blog", "keras-io-2020"),
}


def command(name: str, results: Path) -> list[str]:
    """Return the arguments of one command."""
    return [part.replace("RESULTS", str(results)) for part in COMMANDS[name]]


def on_terminal(
    arguments: list[str], folder: Path, columns: int, exit_code: int = 0, **env: str
) -> str:
    """Return what a command shows on a terminal of so many columns."""
    kept = {key: text for key, text in os.environ.items() if key not in ("NO_COLOR", "COLUMNS")}
    child = pexpect.spawn(
        sys.executable,
        ["-m", "lossbench", *arguments],
        cwd=folder,
        env=kept | {"TERM": "xterm-256color"} | env,
        dimensions=(50, columns),
        encoding="utf-8",
        timeout=120,
    )
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == exit_code, child.before
    return child.before


@pytest.mark.parametrize("name", SOME)
def test_off_a_terminal_there_is_no_escape(
    name: str, drilled_results: Path, tmp_path: Path
) -> None:
    """A pipe gets plain text, with no home folder too; --json is JSON and nothing else."""
    env = {"HOME": str(tmp_path / "none"), "FORCE_COLOR": "", "TERM": "xterm-256color"}
    answer = lossbench(*command(name, drilled_results), folder=tmp_path, env=env)
    assert answer.returncode == 0, answer.stderr
    assert "\x1b" not in answer.stdout + answer.stderr
    answer = lossbench(*command(name, drilled_results), "--json", folder=tmp_path, env=env)
    assert json.loads(answer.stdout)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    "variable", [{"NO_COLOR": "1"}, pytest.param({"TERM": "dumb"}, marks=pytest.mark.slow)]
)
def test_no_colour_where_none_is_wanted(
    variable: dict[str, str], drilled_results: Path, tmp_path: Path
) -> None:
    """NO_COLOR leaves no colour, a dumb terminal gets no escape at all."""
    shown = on_terminal(command("compare", drilled_results), tmp_path, 80, **variable)
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]", shown)
    assert "TERM" not in variable or "\x1b" not in shown


@pytest.mark.parametrize("columns", [40, pytest.param(200, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", SOME)
def test_no_name_is_cut(name: str, columns: int, drilled_results: Path, tmp_path: Path) -> None:
    """Names stand whole at 40 columns as at 200: a narrow terminal wraps a row, nothing cuts it."""
    shown = on_terminal(command(name, drilled_results), tmp_path, columns, NO_COLOR="1")
    shown = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    assert "…" not in shown
    for word in NAMES[name]:
        assert word in shown


def test_a_name_from_elsewhere_does_not_reach_the_terminal_as_a_command(tmp_path: Path) -> None:
    """Control characters in somebody else's experiment are left out of what is shown."""
    name = "\x1b]0;owned\x07\x1b[35mred\x9b31m.npz"
    (tmp_path / "theirs.toml").write_text(f"[sweep]\ndataset = {json.dumps(name)}\n", "utf-8")
    shown = on_terminal(["sweep", "theirs.toml"], tmp_path, 120, exit_code=2)
    assert "red" in shown
    for control in ("\x1b]", "\x07", "\x1b[35m", "\x9b"):
        assert control not in shown


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Let nobody write into a folder; root is stopped by mounting it so."""
    mount = ["mount", "--bind", str(folder), str(folder)]
    if shutil.which("mount") and subprocess.run(mount, check=False).returncode == 0:
        subprocess.run([*mount[:1], "-o", "remount,ro,bind", str(folder)], check=True)
        try:
            yield
        finally:
            subprocess.run(["umount", folder], check=True)  # noqa: S607
        return
    folder.chmod(0o500)
    try:
        yield
    finally:
        folder.chmod(0o700)


@pytest.mark.slow
def test_a_read_only_folder_is_read_and_never_written(
    drilled_results: Path, tmp_path: Path
) -> None:
    """What only reads works; what writes ends with exit 2, the path and what to do."""
    results = tmp_path / "results"
    shutil.copytree(drilled_results, results)
    writing = {
        "sweep": ("sweep", *TINY, "--seeds", "3", "--out", str(results)),
        "report": ("report", str(results)),
    }
    with read_only(results):
        for name in ("show", "compare"):
            answer = lossbench(*command(name, results), folder=tmp_path)
            assert answer.returncode == 0, answer.stderr
        for arguments in writing.values():
            answer = lossbench(*arguments, folder=tmp_path)
            assert answer.returncode == 2, answer.stderr
            assert str(results) in answer.stderr
            assert "try:" in answer.stderr
            assert "Traceback" not in answer.stderr
