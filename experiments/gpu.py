"""How fast, and how exact, is lossbench on a GPU? Writes ``results/gpu.csv``.

Keras ``model.fit``, a PyTorch loop, JAX and stacks of lossbench of several widths train the same
VAE on one card, each in a warm process of its own, in alternation, the others stopped meanwhile;
the median of the rounds is kept, in milliseconds per model and epoch. Then a small sweep is trained
on the card, once more there, and on the CPU beside it: do they end the same? Without a GPU that
TensorFlow can use nothing is measured.
"""

import argparse
import csv
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from bench.size import SIZES, Size
from bench.team import Team, Variant, cores
from lossbench.store import Store

_RESULTS = Path(__file__).parent.parent / "results"
_COLUMNS = (
    *("card", "network", "d", "hidden", "k", "way", "variant", "n_models"),
    "ms_per_model_epoch",
)
# Several processes share the card.
_SHARED = {"TF_FORCE_GPU_ALLOW_GROWTH": "true", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
_SWEEP = ("--d", "64", "--reconstruction-loss", "bce", "--k", "2,8", "--seeds", "2")
_ON_CORES = {"CUDA_VISIBLE_DEVICES": "-1", "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "1 hour"}


def main() -> None:
    """Measure what is asked for; write the table and print how far the sweeps differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    names = [size.name for size in SIZES]
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sizes", nargs="*", choices=names, default=names, metavar="SIZE")
    parser.add_argument("--widths", nargs="*", type=int, default=[1, 4, 16, 64, 256])
    parser.add_argument("--results", type=Path, default=_RESULTS, help="folder for the table")
    arguments = parser.parse_args()
    card = _card()
    _compare_sweeps()
    rows: list[tuple[object, ...]] = []
    for size in SIZES:
        if size.name in arguments.sizes:
            rows += _rows(card, size, arguments.widths, arguments.rounds)
            with (arguments.results / "gpu.csv").open("w", encoding="utf-8", newline="") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow(_COLUMNS)
                writer.writerows(rows)


def _card() -> str:
    """Return the name of the GPU; end where TensorFlow has none."""
    asked = "from lossbench import worker; print(worker.gpu() or '')"
    answer = subprocess.run(
        [sys.executable, "-c", asked],
        env=os.environ | _SHARED,
        capture_output=True,
        text=True,
        check=True,
    )
    if not (card := answer.stdout.strip()):
        sys.exit("TensorFlow has no GPU here, so there is nothing to measure")
    return card


def _variants(size: Size, widths: Sequence[int]) -> Iterator[Variant]:
    """Yield every way to train one size on a card."""
    whole_epochs = {"steps_per_execution": size.n_steps, "jit_compile": True}
    yield Variant("keras-fit", "usual", "keras_fit", ({},), environment=_SHARED)
    yield Variant("keras-fit", "best", "keras_fit", (whole_epochs,), environment=_SHARED)
    yield Variant("pytorch-loop", "usual", "pytorch_loop", ({},), environment=_SHARED)
    yield Variant("pytorch-loop", "best", "pytorch_loop", ({"fused": True},), environment=_SHARED)
    yield Variant(
        *("lossbench", f"{len(cores())} cores, no card", "workers"),
        settings=({"n_workers": len(cores())},),
        environment=_ON_CORES,
        n_epochs=size.epochs,
    )
    for width in widths:
        setting = {"width": width}
        yield Variant("jax-vmap", f"{width} models", "jax_vmap", (setting,), environment=_SHARED)
        yield Variant(
            *("lossbench", f"{width} models", "stack", (setting,)),
            environment=_SHARED,
            n_epochs=max(8, size.epochs // 4),
        )


def _rows(card: str, size: Size, widths: Sequence[int], n_rounds: int) -> list[tuple[object, ...]]:
    """Return a row for each way to train one size, from alternating rounds."""
    teams: dict[tuple[str, str], Team] = {}
    with ExitStack() as running, tempfile.TemporaryDirectory() as logs:
        for number, variant in enumerate(_variants(size, widths)):
            log = Path(logs) / f"{number}.log"
            try:
                team = Team(variant, variant.settings[0], size, log)
            except RuntimeError as error:
                print(f"{variant.way} ({variant.variant}) fails: {error}", flush=True)
                continue
            running.callback(team.close)
            teams[variant.way, variant.variant] = team
        rounds = [[team.milliseconds() for team in teams.values()] for _ in range(n_rounds + 1)]
    rows = []
    measured = zip(*rounds[1:], strict=True)  # the first round warms up
    for ((way, variant_name), team), times in zip(teams.items(), measured, strict=True):
        milliseconds = f"{statistics.median(times):.4g}"
        rows.append(
            (
                *(card, *(size.facts[name] for name in ("network", "d", "hidden", "k"))),
                *(way, variant_name, round(team.n_models), milliseconds),
            )
        )
        print(*rows[-1], f"({min(times):.4g} to {max(times):.4g})", flush=True)
    return rows


def _compare_sweeps() -> None:
    """Print how far a small sweep on the card is from itself, trained again, and from the CPU."""
    with tempfile.TemporaryDirectory() as scratch:
        tables = {}
        for name, hidden in (("card", {}), ("again", {}), ("CPU", {"CUDA_VISIBLE_DEVICES": "-1"})):
            folder = Path(scratch) / name
            command = [sys.executable, "-m", "lossbench", "sweep", *_SWEEP, "--out", str(folder)]
            subprocess.run(command, env=os.environ | hidden, check=True, capture_output=True)
            tables[name] = Store(folder).runs().set_index("run_id")
        for name in ("again", "CPU"):
            apart = (tables["card"][["elbo", "kl"]] - tables[name][["elbo", "kl"]]).abs().max()
            print(
                f"card and {name}: {len(tables[name])} runs, ELBO within {apart['elbo']:.3g} nats, "
                f"KL within {apart['kl']:.3g}",
                flush=True,
            )


if __name__ == "__main__":
    main()
