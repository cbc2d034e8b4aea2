"""What does a sweep do besides training? Writes ``results/overhead.csv``.

``lossbench sweep`` trains digits (d = 64, h = 64), each in a process of its own, with clocks around
the functions that take time, here and in the workers. A worker's parts are its mean over the
workers, so that all parts but those that happen meanwhile add up to the whole.
"""

import argparse
import csv
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from lossbench import cli, engine
from lossbench.engine import dispatch
from lossbench.experiment import Stack
from lossbench.run import Record
from lossbench.store import Store

_RESULTS = Path(__file__).parent.parent / "results" / "overhead.csv"
_COLUMNS = ("n_runs", "n_workers", "epochs", "part", "process", "seconds", "share")
_GRID = {
    **{"dataset": "digits", "loss": "blog,docs", "reconstruction-loss": "bce,mse"},
    **{"beta": "0.01,0.1,0.5,1,4", "d": "64", "k": "2,8", "hidden": "64"},
}
_RUNS_A_SEED = 40
_WHOLE = "the whole sweep"

Seconds = dict[str, list[float]]  # of every call, by the name of its part


def main() -> None:
    """Measure a sweep of every size and write the table, or be the sweep that is measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("n_runs", type=int, nargs="*", default=[240, 1000], help="multiples of 40")
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--results", type=Path, default=_RESULTS)
    parser.add_argument("--sweep", nargs=2, type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if any(n_runs < 1 or n_runs % _RUNS_A_SEED for n_runs in arguments.n_runs):
        parser.error(f"the number of runs is a multiple of {_RUNS_A_SEED}")
    if arguments.sweep:
        _sweep(*arguments.sweep, arguments.n_runs[0] // _RUNS_A_SEED, arguments.epochs)
        return
    with arguments.results.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_COLUMNS)
        for n_runs in arguments.n_runs:
            facts = (n_runs, engine.n_cores(), arguments.epochs)
            parts = _measured(n_runs, arguments.epochs)
            total = parts[-1][2]
            print(f"{n_runs} runs", flush=True)
            for part, process, seconds in parts:
                print(f"{seconds:8.2f} s {seconds / total:6.1%}  {part} ({process})", flush=True)
                writer.writerow((*facts, part, process, f"{seconds:.3f}", f"{seconds / total:.4f}"))
    print(f"wrote {arguments.results}")


def _measured(n_runs: int, epochs: int) -> list[tuple[str, str, float]]:
    """Return what the time of one sweep went to."""
    with tempfile.TemporaryDirectory() as folder:
        out, notes = Path(folder) / "out", Path(folder) / "notes.json"
        size = (str(n_runs), "--epochs", str(epochs))
        started = time.time()
        command = [sys.executable, __file__, *size, "--sweep", str(out), str(notes)]
        swept = subprocess.run(command, check=False, capture_output=True, text=True)
        if swept.returncode:
            raise RuntimeError(swept.stderr[-2000:])
        noted = json.loads(notes.read_text("utf-8"))
        noted |= {"started": [started], "ended": [time.time()]}
        timings = [record.timing for record in Store(out).records()]
    clocks = {(timing["worker"], timing["clocks"]["began"][0]): timing for timing in timings}
    return split(noted, [timing["clocks"] for timing in clocks.values()], engine.n_cores())


def split(
    noted: Mapping[str, Sequence[float]], stacks: Sequence[Seconds], n_workers: int
) -> list[tuple[str, str, float]]:
    """Return what a sweep's time went to: part, process, seconds.

    ``noted``: moments of the sweep's own process (seconds since the epoch) and what its saving
    and rebuilding took; ``stacks``: when each stack ``began`` and ``ended`` and what every call
    in it took. The parts add up to the last one but for what is done ``meanwhile``.
    """
    first = min(stack["began"][0] for stack in stacks)
    last = max(stack["ended"][0] for stack in stacks)
    started, ended, workers_started = (
        noted[name][0] for name in ("started", "ended", "workers started")
    )
    inside: dict[str, float] = {}
    for stack in stacks:
        for part, seconds in _parts_of(stack).items():
            inside[part] = inside.get(part, 0.0) + seconds / n_workers
    n_programs = sum(len(stack["program"]) for stack in stacks)
    rebuilding = sum(noted["rebuilding"])
    return [
        ("start, imports, data and plan", "parent", workers_started - started),
        ("start of the workers, TensorFlow's import", "workers", first - workers_started),
        *((part, "workers", seconds) for part, seconds in inside.items()),
        ("waiting for a stack or for the last one", "workers", last - first - sum(inside.values())),
        ("rebuilding the tables", "parent", rebuilding),
        ("last records, end of the workers, summary", "parent", ended - last - rebuilding),
        ("saving records", "parent, meanwhile", sum(noted["saving"])),
        (
            f"one of {n_programs} compilations",
            "one worker, meanwhile",
            inside["compilation"] * n_workers / n_programs,
        ),
        (_WHOLE, "all", ended - started),
    ]


def _parts_of(stack: Seconds) -> dict[str, float]:
    """Return the seconds of each part of a stack, which add up to all of its time.

    Where the stack built its program, compilation is also what the first epoch and the first
    evaluation took above the median of the others.
    """
    program = stack["program"]
    of_epochs, of_evaluation = (
        _surplus(stack[name]) if program else 0.0 for name in ("epochs", "evaluation")
    )
    parts = {
        "compilation": sum(program) + of_epochs + of_evaluation,
        "training epochs": sum(stack["epochs"]) - of_epochs,
        "batches and noise of every epoch": sum(stack["batches"]),
        "initial weights": sum(stack["weights"]),
        "evaluation, history and pictures": sum(stack["evaluation"])
        - of_evaluation
        + sum(stack["pictures"]),
    }
    whole = stack["ended"][0] - stack["began"][0]
    return parts | {"everything else in a stack": whole - sum(parts.values())}


def _surplus(calls: Sequence[float]) -> float:
    first, *others = calls
    return max(0.0, first - statistics.median(others or [first]))


def _sweep(out: Path, notes: Path, n_seeds: int, epochs: int) -> None:
    """Run the command, with clocks around what takes time, and write down what they show."""
    noted: Seconds = {"saving": [], "rebuilding": []}
    start_workers = engine.workers

    def started_workers(*arguments, **options):  # type: ignore[no-untyped-def]
        noted["workers started"] = [time.time()]
        return start_workers(*arguments, **options)

    options = _GRID | {"seeds": str(n_seeds), "epochs": str(epochs), "out": str(out)}
    words = [word for name, text in options.items() for word in (f"--{name}", text)]
    with (
        mock.patch.object(sys, "argv", ["lossbench", "sweep", *words]),
        mock.patch.object(dispatch, "train", _clocked_train),
        mock.patch.object(engine, "workers", started_workers),
        mock.patch.object(Store, "save", _clocked(Store.save, noted["saving"])),
        mock.patch.object(Store, "tabulate", _clocked(Store.tabulate, noted["rebuilding"])),
    ):
        try:
            cli.main()
        finally:
            notes.write_text(json.dumps(noted), "utf-8")


def _clocked(function, seconds: list[float]):  # type: ignore[no-untyped-def]
    """Return a function that also notes how long every call takes."""

    def call(*arguments, **options):  # type: ignore[no-untyped-def]
        started = time.perf_counter()
        try:
            return function(*arguments, **options)
        finally:
            seconds.append(time.perf_counter() - started)

    return call


def _clocked_train(
    stack: Stack, training: NDArray[np.float32], test: NDArray[np.float32]
) -> list[Record]:
    """Train a stack as a worker does; the records' timing tells what the calls in it took.

    It is defined in the script, so it travels to the workers whole.
    """
    from lossbench import worker  # noqa: PLC0415
    from lossbench.nn import train as room  # noqa: PLC0415 - only the workers load TensorFlow
    from lossbench.nn.program import Program  # noqa: PLC0415

    clocks: Seconds = {"began": [time.time()]}
    with ExitStack() as patches:
        for part, place, name in (
            ("program", Program, "__init__"),
            ("weights", Program, "refill"),
            ("batches", room, "batches_and_noise"),
            ("epochs", Program, "train"),
            ("evaluation", Program, "evaluate"),
            ("pictures", Program, "latent_means"),
            ("pictures", Program, "reconstructions"),
        ):
            seconds = clocks.setdefault(part, [])
            clocked = _clocked(getattr(place, name), seconds)
            patches.enter_context(mock.patch.object(place, name, clocked))
        records = worker.train(stack, training, test)
    clocks["ended"] = [time.time()]
    return [replace(r, timing={**r.timing, "clocks": clocks}) for r in records]


if __name__ == "__main__":
    main()
