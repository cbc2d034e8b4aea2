"""One process of one way to train: it prepares, says so, and trains as often as it is asked to.

``python -m bench.child MODULE TASK``. ``prepared`` of ``bench.MODULE`` makes ready whatever the
JSON in ``TASK`` asks for, compilation included. Then the process writes ``<seconds an epoch>
<models at once>``, reads numbers of epochs, and answers each with the seconds that they took.
"""

import importlib
import json
import os
import sys
import time
from collections.abc import Callable

from bench.size import SIZES

Train = Callable[[int], float | None]  # the seconds that count, if they are not all that it took


def main() -> None:
    """Serve one task until the standard input ends."""
    module, task = sys.argv[1], json.loads(sys.argv[2])
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a framework prints is no answer
    core = task["core"]
    if core is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})  # before the framework counts its cores
    prepared = importlib.import_module(f"bench.{module}").prepared
    size = next(size for size in SIZES if size.name == task["size"])
    with prepared(size, **task["setting"]) as (train, n_models):
        train(1)  # compiles
        print(_seconds(train, 1), n_models, file=answers, flush=True)
        for line in sys.stdin:
            print(_seconds(train, int(line)), file=answers, flush=True)


def _seconds(train: Train, n_epochs: int) -> float:
    started = time.perf_counter()
    counted = train(n_epochs)
    return time.perf_counter() - started if counted is None else counted


if __name__ == "__main__":
    main()
