"""lossbench with a training that is a function of the settings, and that fails as it is told.

As a script this is the command line with real workers, a real store and real signals; only
``lossbench.nn.train`` is another: it needs no TensorFlow and no time. The workers run this script,
too, and so have the same training; those of a cluster with ``dask worker --preload drill``.
``LOSSBENCH_DRILL`` holds a ``Drill`` as JSON. ``train_here`` needs no workers either.
"""

import json
import math
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from faults import FaultyOs

from lossbench import worker
from lossbench.data import Dataset
from lossbench.experiment import Stack
from lossbench.run import Record
from lossbench.settings import RunSettings

if TYPE_CHECKING:
    import pytest

VARIABLE = "LOSSBENCH_DRILL"
WORKER = "--worker"
MEMORY_GROUPS = Path("/sys/fs/cgroup/memory")


@dataclass(frozen=True)
class Drill:
    """What goes wrong, and what is noted.

    ``log`` gets a line with its id for every run that begins; a run takes ``seconds``;
    ``faults`` maps seeds to ``nan``, ``raise``, ``fault``, ``exit``, ``memory`` or ``hang``;
    ``killed_step`` is the step of a write at which the whole process group is killed, and
    ``steps`` a file that gets their names; ``grace`` is how long a hang is waited for.
    """

    log: str = ""
    seconds: float = 0.0
    faults: dict[str, str] = field(default_factory=dict)
    killed_step: int = 0
    steps: str = ""
    grace: float = 0.5
    broken: bool = False

    def environment(self) -> dict[str, str]:
        """Return the environment of a process that drills so."""
        here = str(Path(__file__).parent)
        return os.environ | {
            VARIABLE: json.dumps(asdict(self)),
            "PYTHONPATH": os.pathsep.join([here, os.environ.get("PYTHONPATH", "")]),
        }


class OutOfTime(Exception):  # noqa: N818 - as in lossbench.nn.train
    """The stack took longer than the time limit of its runs allows."""


def drilled() -> Drill:
    """Return the drill of this process."""
    return Drill(**json.loads(os.environ.get(VARIABLE, "{}")))


def train_stack(
    runs: Sequence[RunSettings], _width: int, _train: np.ndarray, _test: np.ndarray
) -> list[Record]:
    """Stand in for training: numbers that follow from each run's id."""
    drill = drilled()
    if drill.log:
        with Path(drill.log).open("a", encoding="utf-8") as log:
            log.write("".join(f"{run.run_id}\n" for run in runs))
    time.sleep(drill.seconds * len(runs))
    for run in runs:
        if (fault := drill.faults.get(str(run.seed), "")) not in ("", "nan"):
            _fail(fault, run)
    return [_trained(run, drill.faults.get(str(run.seed)) == "nan") for run in runs]


def _fail(fault: str, run: RunSettings) -> None:
    print(f"last words of seed {run.seed}", file=sys.stderr, flush=True)
    if fault == "raise":
        raise ValueError(f"last words of seed {run.seed}")
    if fault == "exit":
        os._exit(7)
    if fault == "hang":
        time.sleep(3600)
    if fault == "memory":
        _exhaust_memory()
    signal.raise_signal(signal.SIGSEGV)


def _exhaust_memory() -> None:
    """Be killed by the kernel, in a group of 64 MiB; where none may be made, by ourselves."""
    group = MEMORY_GROUPS / f"lossbench-{os.getpid()}"
    with suppress(OSError):
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(2**26))
        (group / "cgroup.procs").write_text(str(os.getpid()))
        taken = [b"x" * 2**22 for _ in range(64)]
        print(f"{len(taken)} pieces of 4 MiB fitted into 64 MiB", file=sys.stderr, flush=True)
    signal.raise_signal(signal.SIGKILL)


def _trained(run: RunSettings, is_nan: bool) -> Record:
    number = random.Random(run.run_id).random  # noqa: S311 - nothing is kept secret
    names = ("elbo", "reconstruction", "kl", "bits_per_dim", "elbo_best_sigma", "objective")
    metrics: dict[str, Any] = {
        name: math.nan if is_nan else number()
        for name in (*names, "train_elbo", "train_reconstruction", "train_kl")
    }
    history: dict[str, list[Any]] = {"epoch": [1, 2], "active_units": [1, 2]}
    history |= {name: [number(), number()] for name in ("elbo", "reconstruction", "kl")}
    image = np.full((8, run.d), number(), np.float32)
    history |= {"objective": [number(), number()]}
    means = np.full((360, run.k), number(), np.float32)
    return Record.trained(
        run,
        metrics=metrics | {"active_units": 2, "collapsed": False},
        history=history,
        arrays=dict.fromkeys(("originals", "reconstructions", "prior_images"), image)
        | {"latent_means": means},
    )


def training() -> ModuleType:
    """Return what stands in for ``lossbench.nn.train``."""
    module = ModuleType("lossbench.nn.train")
    module.__dict__.update(train_stack=train_stack, OutOfTime=OutOfTime, gpu=lambda: None)
    return module


class Inline:
    """An engine that trains in this process."""

    device = "CPU"

    def records(
        self, waiting: Iterable[Stack], data: Callable[[Stack], Dataset]
    ) -> Iterator[list[Record]]:
        """Yield the records of each stack."""
        for stack in waiting:
            images = data(stack)
            yield worker.train(stack, images.train, images.test)


@contextmanager
def _no_workers(*_: object) -> Iterator[Inline]:
    yield Inline()


def train_here(patch: "pytest.MonkeyPatch") -> None:
    """Have the sweeps of this process train in it, in no time."""
    from lossbench import engine  # noqa: PLC0415 - the workers need no engine

    patch.setattr(engine, "workers", _no_workers)
    patch.setitem(sys.modules, "lossbench.nn.train", training())


def dask_setup(_worker: object) -> None:
    """Give a worker of a cluster this training."""
    sys.modules["lossbench.nn.train"] = training()


def _kill_group() -> None:
    os.killpg(0, signal.SIGKILL)


def _main() -> None:
    from lossbench import cli, engine  # noqa: PLC0415 - the workers need no command line
    from lossbench.store import records  # noqa: PLC0415

    drill = drilled()
    engine.policy._GRACE_SECONDS = drill.grace
    engine.local._PROGRAM = (__file__, WORKER)
    records.os = disk = FaultyOs(drill.killed_step, _kill_group)
    try:
        cli.main()
    finally:
        if drill.steps:
            Path(drill.steps).write_text("\n".join(disk.steps), encoding="utf-8")


def _work(address: str, name: str) -> None:
    from lossbench.engine import local  # noqa: PLC0415

    # What is None cannot be imported.
    sys.modules["lossbench.nn.train"] = None if drilled().broken else training()
    local.main(address, name)


if __name__ == "__main__":
    if sys.argv[1] == WORKER:
        _work(*sys.argv[2:])
    else:
        _main()
