"""Kills and signals: a sweep with real workers loses nothing, repeats nothing, leaves nothing.

The training is the drill's: a function of the settings, so that moments are many.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import TINY, Note, lossbench, trials, unkept
from drill import MEMORY_GROUPS, Drill
from test_sweep import all_gone, left_over

from lossbench.store import TABLES, Store

GRID = (
    *("--d", "16", "--k", "1,2,3,4,5,6", "--hidden", "8", "--epochs", "2", "--beta", "1"),
    *("--reconstruction-loss", "bce", "--seeds", "3"),
)
N_RUNS = 36
DRILL = Path(__file__).with_name("drill.py")


def started(
    folder: Path,
    drill: Drill,
    *options: str,
    grid: tuple[str, ...] = GRID,
    program: tuple[str, ...] = (str(DRILL),),
) -> subprocess.Popen[str]:
    """Start a drilled sweep, or the ``program``'s, in a session of its own."""
    return subprocess.Popen(
        [sys.executable, *program, "sweep", *grid, *options],
        cwd=folder,
        env=drill.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@contextmanager
def running(
    folder: Path,
    drill: Drill,
    *options: str,
    grid: tuple[str, ...] = GRID,
    program: tuple[str, ...] = (str(DRILL),),
) -> Iterator[subprocess.Popen[str]]:
    """Start a sweep, and end it whatever happens."""
    sweep = started(folder, drill, *options, grid=grid, program=program)
    try:
        yield sweep
    finally:
        for process in left_over(sweep.pid):
            process.kill()
        sweep.communicate()


def finished(
    folder: Path, drill: Drill, *options: str, grid: tuple[str, ...] = GRID
) -> tuple[int, str]:
    """Run a drilled sweep to its end; return its exit code and its messages."""
    with running(folder, drill, *options, grid=grid) as sweep:
        told = sweep.communicate(timeout=120)[1]
        assert all_gone(sweep.pid, 10)
    return sweep.returncode, told


def tables(folder: Path) -> list[bytes]:
    """Return the tables that must not depend on what happened on the way."""
    return [(folder / name).read_bytes() for name in TABLES]


def ids(folder: Path) -> set[str]:
    """Return the runs that have a record, torn or not."""
    return {path.stem for path in folder.glob("runs/*.json")}


def noted(log: Path) -> list[str]:
    """Return what was trained since this was last asked."""
    names = log.read_text(encoding="utf-8").split() if log.exists() else []
    log.unlink(missing_ok=True)
    return names


@pytest.fixture
def unbroken(tmp_path: Path) -> tuple[list[bytes], int, float]:
    """Return the tables of an unbroken sweep, its steps of writing and its seconds."""
    begun = time.monotonic()
    drill = Drill(seconds=0.01, steps=str(tmp_path / "steps"))
    code, told = finished(tmp_path, drill, "--out", "whole")
    assert code == 0, told
    seconds = time.monotonic() - begun
    return tables(tmp_path / "whole"), len((tmp_path / "steps").read_text().split()), seconds


@pytest.mark.slow
def test_nothing_is_lost_to_kills(
    tmp_path: Path, unbroken: tuple[list[bytes], int, float], note: Note
) -> None:
    """Kill -9 of the group at random moments and in random steps of a write; the same command."""
    whole, n_steps, seconds = unbroken
    rng = random.Random(1)  # noqa: S311 - nothing is kept secret
    n_kills, killed = trials(8, 200), Counter[str]()
    n_lost = n_torn = n_repeated = n_tables = n_chains = 0
    log = tmp_path / "log"
    while sum(killed.values()) < n_kills:
        n_chains += 1
        out = f"killed-{n_chains}"
        folder, workers = tmp_path / out, str(1 + n_chains % 2)
        ended = False
        while not ended:
            before = ids(folder)
            way = "none" if sum(killed.values()) >= n_kills else rng.choice(["moment", "step"])
            step = rng.randint(1, n_steps) if way == "step" else 0
            drill = Drill(log=str(log), seconds=0.01, killed_step=step)
            sweep = started(tmp_path, drill, "--out", out, "--workers", workers)
            try:
                sweep.communicate(timeout=rng.uniform(0, seconds) if way == "moment" else 120)
            except subprocess.TimeoutExpired:
                os.killpg(sweep.pid, signal.SIGKILL)
                sweep.communicate()
            assert all_gone(sweep.pid, 10)
            ended = sweep.returncode == 0
            killed[way] += not ended
            again = noted(log)
            n_repeated += len(before.intersection(again)) + len(again) - len(set(again))
            n_lost += len(before - ids(folder))
            n_torn += len(ids(folder)) - len(Store(folder).statuses()) if folder.exists() else 0
            n_repeated += ended and set(again) != ids(folder) - before
        n_tables += tables(folder) == whole and len(ids(folder)) == N_RUNS
    note(
        "no completed run is lost",
        n_kills,
        n_kills - n_lost - n_torn,
        f"{n_lost} lost, {n_torn} torn, {n_repeated} trained again",
        f"kill -9 of the group, {killed['moment']} at random moments, {killed['step']} in a step "
        "of a write; the same command again",
    )
    note("resuming is exact", n_chains, n_tables, "byte-identical tables", "1 and 2 workers")
    note("nothing done is redone", n_kills, n_kills - n_repeated, "trained: exactly the missing")
    assert (n_lost, n_torn, n_repeated, n_tables) == (0, 0, 0, n_chains)


def handles_signals(sweep: subprocess.Popen[str]) -> bool:
    """Tell whether the program has come so far that it answers to SIGHUP."""
    status = Path(f"/proc/{sweep.pid}/status").read_text(encoding="utf-8")
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught.split()[1], 16) >> (signal.SIGHUP - 1) & 1)


def first_word(sweep: subprocess.Popen[str]) -> None:
    """Wait until the sweep says that it stops."""
    assert sweep.stderr is not None
    while (line := sweep.stderr.readline()) != "stopping\n":
        assert line, "it ended without a word"


CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}


@pytest.mark.slow
def test_signals_at_any_moment(
    tmp_path: Path, unbroken: tuple[list[bytes], int, float], note: Note
) -> None:
    """A word at once, the end in time with the right code, no process left, no traceback."""
    whole, _, seconds = unbroken
    rng = random.Random(2)  # noqa: S311 - nothing is kept secret
    n_trials, n_late, broken, words, ends = trials(6, 50), 0, [], [0.0], [0.0]
    while n_trials > len(words) - 1:
        number = list(CODES)[len(words) % 3]
        twice, group, starting = (rng.random() < share for share in (0.3, 0.5, 0.3))
        out = tmp_path / ("never started" if starting else "stopped")
        moment = rng.uniform(
            0, 6 if starting else seconds * 0.8
        )  # TensorFlow takes so long to load
        program = ("-m", "lossbench") if starting else (str(DRILL),)
        with running(tmp_path, Drill(seconds=0.01), "--out", str(out), program=program) as sweep:
            while sweep.poll() is None and not handles_signals(sweep):
                time.sleep(0.002)
            time.sleep(moment)
            if sweep.poll() is not None or (out / "summary.csv").exists():
                shutil.rmtree(out, ignore_errors=True)  # it had nothing left to stop
                n_late += 1
                assert n_late < 10 * n_trials, sweep.communicate()
                continue
            begun = time.monotonic()
            (os.killpg if group else os.kill)(sweep.pid, number)
            first_word(sweep)
            words.append(time.monotonic() - begun)
            if twice:
                os.kill(sweep.pid, number)
            _, rest = sweep.communicate(timeout=30)
            ends.append(time.monotonic() - begun)
            failed = unkept(
                exit_code=sweep.returncode in (CODES[number], -number),
                no_traceback="Traceback" not in rest,
                no_process_left=all_gone(sweep.pid, 5),
                end_in_time=ends[-1] < 5,
                word_in_time=words[-1] < trials(2, 1),
            )
            told = (failed, number, moment, twice, group, sweep.returncode, rest)
            broken += [told] if failed else []
    code, told = finished(tmp_path, Drill(), "--out", "stopped")
    late = sum(word > 0.3 for word in words)
    note(
        "Ctrl-C, SIGTERM and SIGHUP",
        n_trials,
        n_trials - len(broken),
        f"first word after at most {max(words):.2f} s ({late} after more than 0.3 s), "
        f"end after at most {max(ends):.1f} s",
        "at random moments, once and twice, to the parent and to the group; exit 130, 143, 129 "
        "(or ended by the second signal itself)",
    )
    assert broken == []
    assert code == 0, told
    assert tables(tmp_path / "stopped") == whole


@pytest.mark.slow
def test_no_worker_outlives_its_parent(tmp_path: Path, note: Note) -> None:
    """Kill -9 of the parent alone, while workers train, hang or are starting."""
    n_trials, longest, left = trials(2, 20), 0.0, []
    rng = random.Random(3)  # noqa: S311 - nothing is kept secret
    for number in range(n_trials):
        drill = Drill(seconds=0.2, faults={"1": "hang"} if number % 2 else {}, grace=60)
        with running(tmp_path, drill, "--out", f"orphaned-{number}") as sweep:
            time.sleep(rng.uniform(1.5, 4))
            begun = time.monotonic()
            os.kill(sweep.pid, signal.SIGKILL)
            sweep.wait()
            left += [] if all_gone(sweep.pid, 5) else [(number, left_over(sweep.pid))]
            longest = max(longest, time.monotonic() - begun)
    figure = f"no process after at most {longest:.2f} s"
    note("the parent dies", n_trials, n_trials - len(left), figure)
    assert left == []


@pytest.mark.slow
def test_four_sweeps_on_one_folder(
    tmp_path: Path, unbroken: tuple[list[bytes], int, float], note: Note
) -> None:
    """One trains, the others say for whom they wait and find nothing to do; a dead holder too."""
    whole, _, _ = unbroken
    n_trials, broken = trials(1, 25), []
    for number in range(n_trials):
        log, out = tmp_path / "log", f"shared-{number}"
        drill = Drill(log=str(log), seconds=0.01)
        sweeps = [started(tmp_path, drill, "--out", out) for _ in range(4)]
        killed = number % 2 == 0
        if killed:
            deadline = time.monotonic() + 60
            while not ids(tmp_path / out) and time.monotonic() < deadline:
                time.sleep(0.01)
            holder = int((tmp_path / out / ".lock").read_text().split()[-1])
            os.killpg(holder, signal.SIGKILL)
        answers = [sweep.communicate(timeout=300)[1] for sweep in sweeps]
        codes = Counter(sweep.returncode for sweep in sweeps)
        n_told = sum("waiting: the results folder is in use by" in told for told in answers)
        n_idle = sum(f"{N_RUNS} runs, {N_RUNS} done\n" in told for told in answers)
        again = Counter(noted(log))
        failed = unkept(
            exit_codes=codes == ({0: 3, -9: 1} if killed else {0: 4}),
            the_others_say_for_whom_they_wait=n_told >= 3 - killed,
            the_others_find_nothing_to_do=n_idle == (2 if killed else 3),
            every_run_is_trained=len(again) == N_RUNS,
            no_run_is_trained_twice=killed or set(again.values()) == {1},
            equal_tables=tables(tmp_path / out) == whole,
        )
        told = (failed, number, codes, n_told, n_idle, again.most_common(2))
        broken += [told] if failed else []
    note(
        "two sweeps, one folder",
        n_trials,
        n_trials - len(broken),
        "4 processes; every run trained once, equal tables",
        "in every other trial the first holder is killed",
    )
    assert broken == []


@pytest.mark.slow
def test_one_bad_run_costs_one_run(tmp_path: Path, note: Note) -> None:
    """Of 20: a NaN, an exception, a fault, an exit, an out-of-memory kill and a hang; 14 are ok."""
    faults = {"2": "nan", "5": "raise", "8": "fault", "11": "exit", "14": "memory", "17": "hang"}
    grid = (
        *("--d", "16", "--k", "2", "--hidden", "8", "--epochs", "2", "--beta", "1"),
        *("--loss", "docs", "--reconstruction-loss", "bce", "--seeds", "20", "--time-limit", "0.2"),
    )
    n_trials, broken = trials(1, 5), []
    for number in range(n_trials):
        out = tmp_path / f"bad-{number}"
        code, told = finished(tmp_path, Drill(faults=faults), "--out", str(out), grid=grid)
        found = {record.settings["seed"]: record for record in Store(out).records()}
        statuses = {str(seed): record.status for seed, record in found.items()}
        failed = {seed: status for seed, status in statuses.items() if status != "ok"}
        messages = {seed: found[int(seed)].message for seed in failed}
        shapes = sorted(Store(out).runs()["status"])
        wrong = unkept(
            statuses=failed == dict.fromkeys(faults, "crashed") | {"2": "nan", "17": "timeout"},
            a_record_a_run=len(found) == 20,
            exit_code=code == 3,
            failures_are_counted="6 of 20 runs failed" in told,
            fourteen_are_ok=shapes.count("ok") == 14,
            **{
                f"last_words_of_{seed}": f"last words of seed {seed}" in messages.get(seed, "")
                for seed in ("5", "8", "11", "14", "17")
            },
        )
        broken += [(wrong, code, failed, messages, told)] if wrong else []
        groups = list(MEMORY_GROUPS.glob("lossbench-*"))  # one for each process out of memory
        for group in groups:
            group.rmdir()
    by = "of 64 MiB by the kernel" if groups else "stood in for by SIGKILL"
    note(
        "one bad run is one bad run",
        n_trials,
        n_trials - len(broken),
        "14 ok, 1 nan, 4 crashed, 1 timeout, each with its last lines",
        f"a NaN, an exception, SIGSEGV, os._exit, an out-of-memory kill ({by}), a hang",
    )
    assert broken == []


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["raise", "nan"])
def test_a_broken_set_up_stops(tmp_path: Path, note: Note, fault: str) -> None:
    """After five stacks in a row without one success: exit 3, why, tables of what there is."""
    faults = {str(seed): fault for seed in range(8)}
    grid = (*GRID[:3], "1,2,3,4,5,6,7,8,9,10", *GRID[4:-1], "4")
    code, told = finished(tmp_path, Drill(faults=faults), "--out", "broken", grid=grid)
    n_failed = len(Store(tmp_path / "broken").runs())
    failed = unkept(
        exit_code=code == 3,
        why_is_told="stopped: 5 stacks in a row had not one success" in told,
        stopped_in_time=5 * 8 <= n_failed <= 7 * 8,
        last_words="last words" in told or fault == "nan",
    )
    tried = f"{n_failed} of 80 runs tried"
    note(f"a broken set-up stops ({fault})", 1, int(not failed), tried, "exit 3")
    assert failed == [], (tried, told)


@pytest.mark.slow
def test_one_success_in_a_stack_is_hope(tmp_path: Path) -> None:
    """Stacks of which a member fails do not stop a sweep, however many there are."""
    grid = (*GRID[:3], "1,2,3,4,5,6,7", *GRID[4:-1], "3")
    faults = {"0": "raise", "2": "raise"}
    code, told = finished(tmp_path, Drill(faults=faults), "--out", "half", grid=grid)
    assert code == 3
    assert "28 of 42 runs failed" in told
    assert len(Store(tmp_path / "half").runs()) == 42


@pytest.mark.slow
def test_workers_that_cannot_start_are_told(tmp_path: Path) -> None:
    """Without a framework to train with: exit 3, what is missing, no traceback."""
    code, told = finished(tmp_path, Drill(broken=True), "--out", "none")
    assert code == 3, told
    assert "Traceback" not in told.partition("error:")[2]
    assert "lossbench.nn.train" in told


@pytest.mark.slow
def test_real_training_resumes_exactly(tmp_path: Path, tiny_results: Path, note: Note) -> None:
    """Killed once its first record is there, the real sweep gives the same bytes."""
    n_trials, broken = trials(1, 5), []
    for number in range(n_trials):
        out = tmp_path / f"real-{number}"
        with subprocess.Popen(
            [sys.executable, "-m", "lossbench", "sweep", *TINY, "--out", out],
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        ) as sweep:
            deadline = time.monotonic() + 60
            while len(ids(out)) < 1 + number % 3 and time.monotonic() < deadline:
                time.sleep(0.001)
            os.killpg(sweep.pid, signal.SIGKILL)
        done = {path: path.stat().st_mtime_ns for path in out.glob("runs/*.json")}
        workers = str(1 + number % 2)
        answer = lossbench("sweep", *TINY, "--out", str(out), "--workers", workers, folder=tmp_path)
        failed = unkept(
            exit_code=answer.returncode == 0,
            done_runs_are_told=f"4 runs, {len(done)} done" in answer.stderr,
            done_runs_are_left_alone={p: p.stat().st_mtime_ns for p in done} == done,
            equal_tables=tables(out) == tables(tiny_results),
        )
        broken += [(failed, number, answer.stderr)] if failed else []
    n_held = n_trials - len(broken)
    note("resuming is exact, with TensorFlow", n_trials, n_held, "byte-identical tables")
    assert broken == []
