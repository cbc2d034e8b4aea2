"""How much memory does a sweep take, and does it grow? Writes ``results/memory.csv``.

Sweeps of many tiny runs are watched from outside: the resident memory of the command and of its
largest worker when the first run is finished, when half are, when all are, and at most.
"""

import argparse
import csv
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from lossbench.store.lock import RECORDS_FOLDER
from lossbench.store.records import RECORD_SUFFIX

_RESULTS = Path(__file__).parent.parent / "results" / "memory.csv"
_COLUMNS = ("n_runs", "moment", "n_finished", "parent_mib", "largest_worker_mib")
_TINY = (
    *("--dataset", "digits", "--d", "16", "--k", "2", "--hidden", "8", "--epochs", "2"),
    *("--loss", "docs", "--reconstruction-loss", "bce", "--beta", "1"),
)
_EVERY_SECONDS = 0.1
_MIB = 2**20


@dataclass(frozen=True)
class Sample:
    """Resident memory in MiB at one moment; no worker, nothing in ``workers``."""

    n_finished: int
    parent: float
    workers: tuple[float, ...]


def main() -> None:
    """Watch a sweep of each number of runs and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("n_runs", type=int, nargs="*", default=[240, 1_000, 10_000])
    parser.add_argument("--results", type=Path, default=_RESULTS)
    arguments = parser.parse_args()
    with arguments.results.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_COLUMNS)
        for n_runs in arguments.n_runs:
            for moment, sample in moments(_watched(n_runs), n_runs).items():
                largest = f"{max(sample.workers):.0f}" if sample.workers else ""
                row = (n_runs, moment, sample.n_finished, f"{sample.parent:.0f}", largest)
                print(*(f"{name} {cell}" for name, cell in zip(_COLUMNS, row, strict=True)))
                writer.writerow(row)
    print(f"wrote {arguments.results}")


def moments(samples: Sequence[Sample], n_runs: int) -> dict[str, Sample]:
    """Return the samples at the beginning, in the middle and at the end, and the most of each.

    The end is the last sample with workers, and ``tables`` the most of the time after it.
    """
    training = [sample for sample in samples if sample.n_finished and sample.workers]
    after = [sample for sample in samples if sample.n_finished and not sample.workers]
    named = {
        "beginning": training[0],
        "middle": next(s for s in training if 2 * s.n_finished >= n_runs),
        "end": training[-1],
    }
    if after:
        named["tables"] = max(after, key=lambda sample: sample.parent)
    workers = tuple(max(sample.workers, default=0.0) for sample in samples)
    return named | {"peak": Sample(n_runs, max(sample.parent for sample in samples), workers)}


def _watched(n_runs: int) -> list[Sample]:
    """Run a sweep and return samples of it."""
    samples = []
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        command = [sys.executable, "-m", "lossbench", "sweep", *_TINY, "--seeds", str(n_runs)]
        with (Path(folder) / "output.txt").open("w+", encoding="utf-8") as output:
            child = subprocess.Popen(
                [*command, "--out", str(out)], stdout=output, stderr=subprocess.STDOUT
            )
            while child.poll() is None:
                with suppress(psutil.Error):
                    samples.append(_sample(psutil.Process(child.pid), out / RECORDS_FOLDER))
                time.sleep(_EVERY_SECONDS)
            if child.returncode:
                output.seek(0)
                raise RuntimeError(output.read()[-2000:])
    return samples


def _sample(parent: psutil.Process, records: Path) -> Sample:
    workers = []
    for process in parent.children(recursive=True):
        with suppress(psutil.Error):
            if any("spawn_main" in word for word in process.cmdline()):
                workers.append(process.memory_info().rss / _MIB)
    finished = records.glob(f"*{RECORD_SUFFIX}") if records.exists() else ()
    return Sample(sum(1 for _ in finished), parent.memory_info().rss / _MIB, tuple(workers))


if __name__ == "__main__":
    main()
