"""Every write step may fail, at any moment: files are whole, and the next sweep goes on."""

import errno
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import SOAK, Note, trials, unkept
from drill import Drill, train_here
from faults import STEPS, FaultyOs, Killed

from lossbench.cli import main
from lossbench.store import TABLES, Store, records
from lossbench.store.records import decoded

GRID = (
    *("--d", "16", "--k", "1,2", "--hidden", "8", "--epochs", "2", "--beta", "1"),
    *("--loss", "docs", "--reconstruction-loss", "bce", "--seeds", "2"),
)
N_RUNS = 4
ERRORS = (errno.ENOSPC, errno.EIO, errno.EACCES)


@pytest.fixture(autouse=True)
def _drilled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Train in this process, in no time, and note what is trained."""
    monkeypatch.chdir(tmp_path)
    train_here(monkeypatch)
    for name, text in Drill(log=str(tmp_path / "log")).environment().items():
        monkeypatch.setenv(name, text)


def sweep(monkeypatch: pytest.MonkeyPatch, folder: str, *more: str) -> int:
    """Run the command in this process; return its exit code."""
    monkeypatch.setattr(sys, "argv", ["lossbench", "sweep", *GRID, "--out", folder, *more])
    try:
        main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def trained() -> list[str]:
    """Return the runs that were trained since this was last asked."""
    log = Path("log")
    names = log.read_text(encoding="utf-8").split() if log.exists() else []
    log.unlink(missing_ok=True)
    return names


def torn(folder: Path) -> list[Path]:
    """Return the visible files that are not whole."""
    whole = Path("whole")
    found = []
    for path in (path for path in folder.rglob("*") if path.is_file()):
        if path.name.startswith("."):
            continue
        if path.suffix == ".json":
            if decoded(path.read_bytes(), str(path)).run_id != path.stem:
                found.append(path)
        elif path.suffix == ".csv" and path.name not in TABLES:
            continue
        elif path.read_bytes() != (whole / path.relative_to(folder)).read_bytes():
            found.append(path)
    return found


def tables(folder: Path) -> list[bytes]:
    """Return the tables that must not depend on what happened on the way."""
    return [(folder / name).read_bytes() for name in TABLES]


def faulty_sweep(
    monkeypatch: pytest.MonkeyPatch, folder: str, number: int, fault: Callable[[], None]
) -> int | None:
    """Sweep with a fault in one step; return the exit code, or None for a kill."""
    with monkeypatch.context() as patch:
        patch.setattr(records, "os", FaultyOs(number, fault))
        try:
            return sweep(patch, folder)
        except Killed:
            return None


def refusal(code: int) -> Callable[[], None]:
    """Return a fault: what the disk refuses."""

    def refuse() -> None:
        raise OSError(code, os.strerror(code))

    return refuse


def kill() -> None:
    """End a write as ``kill -9`` does."""
    raise Killed


def n_steps(monkeypatch: pytest.MonkeyPatch) -> int:
    """Make the unbroken sweep; return how many steps of a write it has."""
    disk = FaultyOs()
    with monkeypatch.context() as patch:
        patch.setattr(records, "os", disk)
        assert sweep(patch, "whole") == 0
    assert set(disk.steps) == set(STEPS)
    assert len(trained()) == N_RUNS
    return len(disk.steps)


@pytest.mark.slow
def test_any_step_of_a_write_may_fail(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], note: Note
) -> None:
    """Each open, write, fsync and rename of a sweep, refused or killed: nothing is torn or lost."""
    n, n_trials, broken = n_steps(monkeypatch), 0, []
    capsys.readouterr()
    faults = {"killed": kill} | {os.strerror(code): refusal(code) for code in ERRORS}
    for number in range(1, n + 1):
        tried = list(faults) if SOAK else [list(faults)[number % len(faults)]]
        for name in tried:
            folder = f"{number}-{name}".replace(" ", "-")
            code = faulty_sweep(monkeypatch, folder, number, faults[name])
            told = capsys.readouterr().err
            kept = set(Store(Path(folder)).statuses(set_aside=False))
            once = sorted(trained())
            failed = unkept(
                exit_code=code == (None if name == "killed" else 2),
                nothing_is_torn=torn(Path(folder)) == [],
            )
            if name != "killed":
                failed += unkept(
                    the_error_is_told=name in told and folder in told,
                    the_remedy_is_told="run the same command again" in told,
                    no_temporary_file=not list(Path(folder).rglob("*.tmp")),
                )
            code = sweep(monkeypatch, folder)
            again = trained()
            failed += unkept(
                exit_code_of_the_second=code == 0,
                equal_tables=tables(Path(folder)) == tables(Path("whole")),
                no_run_is_trained_twice=len(again) == len(set(again)),
                kept_runs_are_not_trained_again=kept.isdisjoint(again),
                every_run_is_there=len(kept) + len(again) == N_RUNS,
                what_is_kept_was_trained=set(once) | set(again) >= kept,
                no_temporary_file_in_the_end=not list(Path(folder).rglob("*.tmp")),
            )
            n_trials += 1
            broken += [(failed, folder, told)] if failed else []
            capsys.readouterr()
    note(
        "every write step may fail",
        n_trials,
        n_trials - len(broken),
        f"{n} steps of a sweep of {N_RUNS} runs",
        "killed, ENOSPC, EIO, EACCES at each",
    )
    assert broken == []


def test_a_fault_that_tears_a_file_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check of torn files can fail."""
    n_steps(monkeypatch)
    assert torn(Path("whole")) == []
    table = Path("torn/runs.csv")
    table.parent.mkdir()
    table.write_bytes(Path("whole/runs.csv").read_bytes()[:-9])
    assert torn(Path("torn")) == [table]


@pytest.mark.slow
def test_damage_to_a_record_costs_one_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], note: Note
) -> None:
    """A flipped byte, a cut, an empty file: set aside, that run alone redone, tables as before."""
    n_steps(monkeypatch)
    before = tables(Path("whole"))
    rng = random.Random(0)  # noqa: S311 - nothing is kept secret
    paths = sorted(Path("whole/runs").glob("*.json"))
    n_each, broken = trials(12, 200), []
    for kind in ("flip", "cut", "empty", "swap"):
        for number in range(n_each if kind in ("flip", "cut") else 1):
            path, other = rng.sample(paths, 2)
            raw, hurt = path.read_bytes(), {path.stem}
            place = rng.randrange(len(raw))
            if kind == "flip":
                flipped = raw[place] ^ (1 << rng.randrange(8))
                path.write_bytes(raw[:place] + bytes([flipped]) + raw[place + 1 :])
            elif kind == "swap":
                hurt.add(other.stem)
                path.write_bytes(other.read_bytes())
                other.write_bytes(raw)
            else:
                path.write_bytes(raw[:place] if kind == "cut" else b"")
            code = sweep(monkeypatch, "whole")
            aside = {p.name.partition(".json")[0] for p in Path("whole/runs").glob("*.damaged")}
            failed = unkept(
                exit_code=code == 0,
                that_run_alone_is_trained=set(trained()) == hurt,
                that_record_alone_is_set_aside=aside == hurt,
                equal_tables=tables(Path("whole")) == before,
            )
            broken += [(failed, kind, number, place, path.name)] if failed else []
            for damaged in Path("whole/runs").glob("*.damaged"):
                damaged.unlink()
            capsys.readouterr()
    n_trials = 2 * n_each + 2
    note(
        "damage is noticed",
        n_trials,
        n_trials - len(broken),
        f"{n_each} flipped bytes, {n_each} cuts, an empty file, two records swapped",
    )
    assert broken == []


@contextmanager
def small_disk(place: Path) -> Iterator[Callable[[], None]]:
    """Make a disk of 48 kB at ``place``, where one may; yields what makes it large.

    Where mounting is not allowed, no file of this process may pass 8 bytes instead.
    """
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=28k", "tmpfs", str(place)]
    if shutil.which("mount") and subprocess.run(mount, check=False).returncode == 0:
        larger = ["mount", "-o", "remount,size=16m", str(place)]
        try:
            yield lambda: subprocess.run(larger, check=True) and None
        finally:
            subprocess.run(["umount", place], check=True)  # noqa: S607
        return
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8, before[1]))

    def lift() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    try:
        yield lift
    finally:
        lift()
        signal.signal(signal.SIGXFSZ, ignored)


@pytest.mark.slow
def test_a_disk_that_is_really_full(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], note: Note
) -> None:
    """The sweep ends with exit 2, the path and a remedy; with more room it goes on."""
    n_steps(monkeypatch)
    with small_disk(Path("disk")) as enlarge:
        capsys.readouterr()
        code = sweep(monkeypatch, "disk/results")
        told = capsys.readouterr().err
        kept = set(Store(Path("disk/results")).statuses())
        trained()
        enlarge()
        assert sweep(monkeypatch, "disk/results") == 0
        redone = trained()
        failed = unkept(
            exit_code=code == 2,
            the_place_is_told="disk/results" in told,
            the_remedy_is_told="free some space" in told,
            equal_tables=tables(Path("disk/results")) == tables(Path("whole")),
            every_run_is_there=len(kept) + len(redone) == N_RUNS,
            kept_runs_are_not_trained_again=kept.isdisjoint(redone),
        )
    figure = f"{len(kept)} of {N_RUNS} runs fitted, the rest was trained with more room"
    note("a full disk is told and survived", 1, int(not failed), figure, "a tmpfs of 28 kB")
    assert failed == [], told
