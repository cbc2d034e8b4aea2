"""What runs in a worker process: a stack in, one record a run out."""

import ctypes
import functools
import json
import os
import platform
import socket
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lossbench import commits
from lossbench.errors import LossbenchError
from lossbench.experiment import Stack
from lossbench.loss import LossFunction
from lossbench.network import Built
from lossbench.run import Record
from lossbench.settings import RunSettings

if TYPE_CHECKING:
    from lossbench.auditing import TrainedLoss

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # as <malloc.h> numbers them
_KEPT_BYTES = 2**30
_LARGEST_HEAP_PIECE = 2**25  # the largest that the C library takes
_MOST_TOLD = 600  # letters
_PACKAGES = ("lossbench", "tensorflow", "keras", "numpy")


def prepare() -> None:
    """Load TensorFlow, and have malloc keep what a step frees: the next one takes it again."""
    with suppress(OSError, AttributeError):  # another C library than GNU's has no such options
        libc = ctypes.CDLL(None)
        libc.mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
        libc.mallopt(_MMAP_THRESHOLD, _LARGEST_HEAP_PIECE)
    import lossbench.nn.train  # noqa: F401, PLC0415 - only here may TensorFlow load


def gpu() -> str | None:
    """Return the name of the GPU that this process trains on, or None."""
    prepare()
    from lossbench.nn.train import gpu  # noqa: PLC0415

    return gpu()


def train(stack: Stack, training: NDArray[np.float32], test: NDArray[np.float32]) -> list[Record]:
    """Train a stack on ``training (n_train, d)`` and measure it; one record a run."""
    prepare()
    from lossbench.nn.train import OutOfTime, train_stack  # noqa: PLC0415

    started = time.monotonic()
    function = stack.runs[0].function
    try:
        own = [_loss(function)] if function else []
        records = train_stack(stack.runs, stack.width, training, test, *own)
    except OutOfTime as error:
        return [Record.failed(run, "timeout", str(error)) for run in stack.runs]
    except LossbenchError as error:
        return [Record.failed(run, "crashed", str(error)) for run in stack.runs]
    except Exception as error:
        message = traceback.format_exc(limit=-8)
        if function:  # TensorFlow tells a user's line last, and then what is wrong
            told = " ".join(" ".join(str(error).split("\n\n")[-2:]).split())[:_MOST_TOLD]
            message = f"{function.name}, trained itself, failed: {type(error).__name__}: {told}"
        return [Record.failed(run, "crashed", message) for run in stack.runs]
    timing = {
        "wall_seconds": (time.monotonic() - started) / len(stack.runs),
        "stack_members": len(stack.runs),
        "host": socket.gethostname(),
        "worker": f"process {os.getpid()}",
    }
    return [
        replace(
            record,
            provenance=_provenance(),
            timing=timing,
            weights=record.weights if stack.keep_weights else (),
        )
        for record in records
    ]


@functools.lru_cache(maxsize=64)
def _loss(function: LossFunction) -> "TrainedLoss":
    """Return a loss of the user's own, ready to train; ``LossbenchError`` says why it is not."""
    from lossbench import auditing  # noqa: PLC0415 - few stacks need it
    from lossbench.nn.own_network import settings_kept  # noqa: PLC0415

    with settings_kept():
        return auditing.trained_loss(function)


def look(folder: str) -> None:
    """Build the networks that ``question.json`` in a folder asks for; write ``answer.json``.

    What the process of ``building`` runs: an answer for each, or what is wrong with it.
    """
    prepare()
    from lossbench.nn.own_network import looked_at  # noqa: PLC0415 - only here may TensorFlow load

    question = json.loads(Path(folder, "question.json").read_text("utf-8", "surrogateescape"))
    source = question["source"].encode("utf-8", "surrogateescape")
    answers = []
    for each in question["asked"]:
        each |= {name: tuple(each[name]) for name in ("shape", "groups")}
        built = Built(**each, file=Path(question["path"]), source=source)
        try:
            answers.append(looked_at(built))
        except LossbenchError as error:
            answers.append(_problem(error.problem, error))
        except (Exception, SystemExit) as error:
            problem = f"{built.name} fails for shape {built.shape}, k {built.k}"
            at = [
                f
                for f in traceback.extract_tb(error.__traceback__)
                if f.filename == question["path"]
            ]
            told = LossbenchError(
                problem,
                where=f"line {at[-1].lineno}" if at else "",
                expected="an encoder and a decoder",
                received=f"{type(error).__name__}: {' '.join(str(error).split())[:_MOST_TOLD]}",
            )
            answers.append(_problem(problem, told))
    Path(folder, "answer.json").write_text(json.dumps(answers), "utf-8")


def _problem(problem: str, error: LossbenchError) -> dict[str, object]:
    """Return an error as ``building`` raises it again."""
    names = ("where", "expected", "received", "remedy")
    return {"problem": problem, **{name: getattr(error, name) for name in names}}


def export(run: RunSettings, weights: Sequence[NDArray[np.floating]], path: Path) -> None:
    """Write a run's trained weights as a Keras model; see ``lossbench.nn.export``."""
    with _silenced():
        from lossbench.nn.export import save  # noqa: PLC0415 - only here may TensorFlow load

        save(run, weights, path)


def encode(
    run: RunSettings, weights: Sequence[NDArray[np.floating]], images: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return ``z_mean`` and ``z_log_var`` of ``images (n, d)``, each ``(n, k)``."""
    with _silenced():
        from lossbench.nn.models import encoded  # noqa: PLC0415 - only here may TensorFlow load
        from lossbench.nn.terms import term  # noqa: PLC0415

        return encoded(run.architecture, term(run.likelihood), weights, images)


@contextmanager
def _silenced() -> Iterator[None]:
    """Keep what TensorFlow writes to stderr at import off the terminal."""
    kept = os.dup(2)
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def versions() -> dict[str, str]:
    """Return the versions that decide what a run's bytes are, Python's among them."""
    packages = {package: version(package) for package in _PACKAGES}
    return {"python": platform.python_version(), **packages}


@functools.cache
def _provenance() -> dict[str, Any]:
    """Return what this process trains with; asking costs as much as an epoch."""
    return {
        **versions(),
        "lossbench_commit": commits.of_lossbench(),
        "processor": gpu() or _processor(),
        "threads": 1,
    }


def _processor() -> str:
    """Return the processor's own name where Linux tells it, else its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())
