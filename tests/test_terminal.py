"""The terminal contract: plain off a terminal, and on one no name is cut, however narrow."""

import json
import os
import re
import sys
from pathlib import Path

import pexpect
import pytest
from conftest import lossbench

COMMANDS = {
    "show": ("show", "RESULTS"),
    "compare": ("compare", "RESULTS:loss=docs", "RESULTS:loss=blog"),
    "explain": ("explain", "blog", "--d", "784", "--k", "2"),
    "predict": ("predict", "--dataset", "digits", "--d", "16", "--loss", "blog,keras-io-2020"),
}
NAMES = {
    "show": ("blog", "docs"),
    "compare": ("blog", "docs", "reconstruction"),
    "explain": ("blog", "beta_eff"),
    "predict": ("blog", "keras-io-2020"),
}


def command(name: str, results: Path) -> list[str]:
    """Return the arguments of one command."""
    return [part.replace("RESULTS", str(results)) for part in COMMANDS[name]]


def on_terminal(arguments: list[str], folder: Path, columns: int, **env: str) -> str:
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
    assert child.exitstatus == 0, child.before
    return child.before


@pytest.mark.parametrize("name", COMMANDS)
def test_off_a_terminal_there_is_no_escape(name: str, tiny_results: Path, tmp_path: Path) -> None:
    """A pipe gets plain text, with no home folder too; --json is JSON and nothing else."""
    env = {"HOME": str(tmp_path / "none"), "FORCE_COLOR": "", "TERM": "xterm-256color"}
    answer = lossbench(*command(name, tiny_results), folder=tmp_path, env=env)
    assert answer.returncode == 0, answer.stderr
    assert "\x1b" not in answer.stdout + answer.stderr
    answer = lossbench(*command(name, tiny_results), "--json", folder=tmp_path, env=env)
    assert json.loads(answer.stdout)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("variable", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_no_colour_where_none_is_wanted(
    variable: dict[str, str], tiny_results: Path, tmp_path: Path
) -> None:
    """NO_COLOR leaves no colour, a dumb terminal gets no escape at all."""
    shown = on_terminal(command("compare", tiny_results), tmp_path, 80, **variable)
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]", shown)
    assert "TERM" not in variable or "\x1b" not in shown


@pytest.mark.parametrize("columns", [40, 200])
@pytest.mark.parametrize("name", COMMANDS)
def test_no_name_is_cut(name: str, columns: int, tiny_results: Path, tmp_path: Path) -> None:
    """Names stand whole at 40 columns as at 200: a narrow terminal wraps a row, nothing cuts it."""
    shown = on_terminal(command(name, tiny_results), tmp_path, columns, NO_COLOR="1")
    shown = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    assert "…" not in shown
    for word in NAMES[name]:
        assert word in shown
