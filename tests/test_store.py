"""A results folder: what is frozen in it, who writes into it, and what old ones hold."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from made_records import FILES

from lossbench.errors import ResultsError
from lossbench.experiment import read
from lossbench.settings import FORMAT_VERSION
from lossbench.store import Store, folders
from lossbench.store.records import write_whole


def test_results_folders_are_those_with_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every folder under results/ that holds a runs.csv is found, in order."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ResultsError, match="there are no results yet"):
        folders()
    for name in ("b", "a", "empty"):
        (tmp_path / "results" / name).mkdir(parents=True)
    for name in ("b", "a"):
        (tmp_path / "results" / name / "runs.csv").write_text("run_id\n")
    assert folders() == [Path("results/a"), Path("results/b")]
    assert folders(Path("elsewhere")) == [Path("elsewhere")]


def test_the_frozen_experiment_comes_back_with_its_data(store: Store) -> None:
    """A folder knows what it holds: the runs and the hashes of the data they were trained on."""
    asked = read(overrides={"d": "64"}).resolved(lambda _: (64, 1437, ()))
    assert store.frozen() is None
    store.freeze(replace(asked, data_sha256={"digits at d=64": "ab" * 32}))
    frozen = store.frozen()
    assert frozen is not None
    assert frozen.data_sha256 == {"digits at d=64": "ab" * 32}
    assert frozen.runs() == asked.runs()


# One writer at a time.

_HOLD = """
import sys
from pathlib import Path
from lossbench.store import Store
with Store(Path(sys.argv[1])).locked(lambda holder: print("waits for", holder, flush=True)):
    print("holds", Path(sys.argv[1], "released").exists(), flush=True)
    sys.stdin.readline()
"""


def _process(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _HOLD, folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_second_process_is_told_who_holds_the_folder_and_waits(tmp_path: Path) -> None:
    """It names user, host and process, and goes on only once the first has let go."""
    with contextlib.ExitStack() as lock:
        lock.enter_context(Store(tmp_path).locked(pytest.fail))
        with _process(tmp_path) as second:
            told = _line(second)
            assert told.startswith("waits for ")
            assert told.endswith(f"process {os.getpid()}")
            (tmp_path / "released").touch()
            lock.close()
            assert _line(second) == "holds True"
            second.communicate("\n")


def test_a_holder_that_was_killed_blocks_nobody(tmp_path: Path) -> None:
    """The lock dies with its process, whatever stands in its file."""
    with _process(tmp_path) as holder:
        assert _line(holder) == "holds False"
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        assert f"process {holder.pid}" in (tmp_path / ".lock").read_text()
        with Store(tmp_path).locked(pytest.fail):
            assert f"process {os.getpid()}" in (tmp_path / ".lock").read_text()


def test_a_waiter_is_never_told_of_a_holder_who_has_gone(tmp_path: Path) -> None:
    """Whoever lets go takes the name off the door."""
    with Store(tmp_path).locked(pytest.fail):
        assert str(os.getpid()) in (tmp_path / ".lock").read_text()
    assert (tmp_path / ".lock").read_text().strip() == ""


@pytest.mark.parametrize("name", ["runs", "logs", ".lock"])
def test_a_link_that_leads_out_of_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    """A results folder from somebody else cannot have us write elsewhere."""
    folder, elsewhere = tmp_path / "results", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.mkdir()
    (folder / name).symlink_to(elsewhere / "file" if name == ".lock" else elsewhere)
    with pytest.raises(ResultsError, match="link"), Store(folder).locked(pytest.fail):
        pytest.fail("nothing can be locked there")
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("name", ["experiment.toml", "runs.csv", "runs/x.json"])
def test_a_link_in_the_place_of_a_file_is_replaced_not_followed(tmp_path: Path, name: str) -> None:
    """What a link leads to keeps its bytes."""
    (tmp_path / "runs").mkdir()
    target = tmp_path / "target"
    target.write_bytes(b"mine")
    (tmp_path / name).symlink_to(target)
    write_whole(tmp_path / name, b"new")
    assert target.read_bytes() == b"mine"
    assert (tmp_path / name).read_bytes() == b"new"


@pytest.mark.parametrize("version", range(1, FORMAT_VERSION + 1))
def test_old_results_stay_readable(tmp_path: Path, version: int) -> None:
    """Records and tables of a kept folder read as they did, and a rebuild keeps every cell."""
    folder = tmp_path / "old"
    shutil.copytree(Path(__file__).with_name(f"results-format-{version}"), folder)
    store = Store(folder)
    assert list(store.statuses().values()) == ["ok"] * 4
    frozen = store.frozen()
    assert frozen is not None
    assert {run.run_id for run in frozen.runs()} == set(store.statuses())
    before = {name: pd.read_csv(folder / name) for name in FILES}
    with store.locked(pytest.fail):
        store.rebuild()
    for name, table in before.items():
        after = pd.read_csv(folder / name)
        pd.testing.assert_frame_equal(after[list(table.columns)], table)
    assert not list(folder.rglob("*.damaged"))
