"""How fast is lossbench against Keras ``model.fit``? Writes ``results/speed.csv``.

Both train the documentation's VAE on the same number of random images, in alternation, and
the median of several rounds is kept. lossbench's figure is the wall time of whole stacks
through its own workers: a long training less a short one, so that what happens once a run
(compilation, the final evaluation, which ``fit`` has none of) drops out; history stays in.
"""

import argparse
import csv
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lossbench import engine, experiment
from lossbench.data import Dataset
from lossbench.experiment import Stack

_RESULTS = Path(__file__).parent.parent / "results" / "speed.csv"
_BATCH_SIZE = 128
_COLUMNS = (
    "way",
    "variant",
    "d",
    "hidden",
    "k",
    "n_images",
    "batch_size",
    "n_models",
    "ms_per_model_epoch",
    "times_lossbench",
)


@dataclass(frozen=True)
class Size:
    """One network and the number of images an epoch; epochs are chosen to take some seconds."""

    d: int
    hidden: int
    k: int
    n_images: int
    epochs: int
    keras_epochs: int

    def stacks(self, n_workers: int, epochs: int) -> tuple[Stack, ...]:
        """Return one full stack for each worker."""
        axes = {"d": str(self.d), "k": str(self.k), "hidden": str(self.hidden)}
        axes |= {"loss": "docs", "reconstruction_loss": "bce", "beta": "1"}
        axes |= {
            "epochs": str(epochs),
            "eval_every": str(self.epochs // 4),
            "batch_size": str(_BATCH_SIZE),
            "seeds": "64",
        }
        runs = experiment.read(None, axes).runs()
        return experiment.stacks(runs)[:n_workers]


SIZES = (
    Size(d=64, hidden=64, k=2, n_images=1408, epochs=80, keras_epochs=20),
    Size(d=196, hidden=128, k=2, n_images=6400, epochs=16, keras_epochs=8),
    Size(d=784, hidden=512, k=2, n_images=12800, epochs=4, keras_epochs=3),
)


def main() -> None:
    """Measure every size and write the table, or be the Keras child of one measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--keras", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.keras is not None:
        print(_keras_fit(SIZES[arguments.keras]))
        return
    rows = [row for index in range(len(SIZES)) for row in _measured(index, arguments.rounds)]
    _RESULTS.parent.mkdir(exist_ok=True)
    with _RESULTS.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, _COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print(f"wrote {_RESULTS}")


def _measured(index: int, n_rounds: int) -> list[dict[str, object]]:
    """Return a row for each way at one size, from alternating rounds."""
    size = SIZES[index]
    ways: dict[tuple[str, str, int], list[float]] = {}
    images = np.random.default_rng(0).random((size.n_images, size.d), dtype=np.float32)
    data = Dataset("random", images, images[:512], "random")
    n_cores = engine.n_cores()
    with tempfile.TemporaryDirectory() as logs:
        for _ in range(n_rounds):
            for n_workers in dict.fromkeys((1, n_cores)):
                milliseconds, n_models = _through_workers(size, data, n_workers, Path(logs))
                variant = "one worker" if n_workers == 1 else "best"
                ways.setdefault(("lossbench", variant, n_models), []).append(milliseconds)
            child = [sys.executable, __file__, "--keras", str(index)]
            answer = subprocess.run(child, check=True, capture_output=True, text=True).stdout
            ways.setdefault(("keras-fit", "usual", 1), []).append(float(answer.split()[-1]))
    medians = {way: statistics.median(times) for way, times in ways.items()}
    best = min(ms for (way, _, _), ms in medians.items() if way == "lossbench")
    rows = []
    for (way, variant, n_models), milliseconds in medians.items():
        ratio = milliseconds / best
        print(f"d={size.d} h={size.hidden}: {way} ({variant}) {milliseconds:.2f} ms, x{ratio:.1f}")
        facts = (size.d, size.hidden, size.k, size.n_images, _BATCH_SIZE, n_models)
        values = (way, variant, *facts, round(milliseconds, 3), round(ratio, 2))
        rows.append(dict(zip(_COLUMNS, values, strict=True)))
    return rows


def _through_workers(size: Size, data: Dataset, n_workers: int, logs: Path) -> tuple[float, int]:
    """Return milliseconds per model and epoch, and how many models were trained at once."""
    seconds = {}
    with engine.workers(n_workers, logs) as crew:
        for epochs in (1, size.epochs, 3 * size.epochs):  # the first pass compiles
            stacks = size.stacks(n_workers, epochs)
            started = time.perf_counter()
            outcomes = [o for group in crew.outcomes(stacks, lambda _: data) for o in group]
            seconds[epochs] = time.perf_counter() - started
            failed = [outcome.message for outcome in outcomes if outcome.status != "ok"]
            if failed:
                raise RuntimeError(failed[0])
    trained = seconds[3 * size.epochs] - seconds[size.epochs]
    return 1000 * trained / (len(outcomes) * 2 * size.epochs), len(outcomes)


def _keras_fit(size: Size) -> float:
    """Return milliseconds an epoch of ``model.fit`` on the documentation's VAE, as usually run."""
    import keras  # noqa: PLC0415 - only the child loads TensorFlow
    from keras import ops  # noqa: PLC0415

    class VAE(keras.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.encoder = keras.layers.Dense(size.hidden, "relu")
            self.z_mean = keras.layers.Dense(size.k)
            self.z_log_var = keras.layers.Dense(size.k)
            self.decoder = keras.layers.Dense(size.hidden, "relu")
            self.output_layer = keras.layers.Dense(size.d, "sigmoid")
            self.seeds = keras.random.SeedGenerator(0)

        def call(self, x: object) -> object:
            hidden = self.encoder(x)
            z_mean, z_log_var = self.z_mean(hidden), self.z_log_var(hidden)
            noise = keras.random.normal(ops.shape(z_mean), seed=self.seeds)
            z = z_mean + ops.exp(0.5 * z_log_var) * noise
            decoded = self.output_layer(self.decoder(z))
            kl = -0.5 * ops.sum(1 + z_log_var - z_mean**2 - ops.exp(z_log_var), axis=-1)
            self.add_loss(ops.mean(size.d * keras.losses.binary_crossentropy(x, decoded) + kl))
            return decoded

    model = VAE()
    model.compile(optimizer="adam")
    images = np.random.default_rng(0).random((size.n_images, size.d), dtype=np.float32)
    model.fit(images, batch_size=_BATCH_SIZE, epochs=2, verbose=0)
    started = time.perf_counter()
    model.fit(images, batch_size=_BATCH_SIZE, epochs=size.keras_epochs, verbose=0)
    return 1000 * (time.perf_counter() - started) / size.keras_epochs


if __name__ == "__main__":
    main()
