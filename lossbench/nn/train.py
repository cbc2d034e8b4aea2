"""Train a stack of runs, measured as they go and at the end.

Runs that share data, d, k, network and seed have the same initial weights, the same batches in
the same order and the same noise, whatever their loss; another seed changes all three.
"""

import functools
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from lossbench.experiment import Stack
from lossbench.nn.metrics import chunks, iwae, measured
from lossbench.nn.program import EVALUATION_SAMPLES, Loss, Program, Shape
from lossbench.run import Record
from lossbench.settings import RunSettings

_STEPS_A_CALL = 64
_LARGEST_CHUNK = 512
_PRIOR_SEED = 0x9817
_N_LATENT_MEANS = 360
_N_RECONSTRUCTIONS = 8
_N_PRIOR_IMAGES = 8


class OutOfTime(Exception):  # noqa: N818 - it says what happened
    """The stack took longer than the time limit of its runs allows."""


def gpu() -> str | None:
    """Return the name of the GPU that TensorFlow trains on, or None: it trains on the CPU."""
    for device in tf.config.list_physical_devices("GPU"):
        details = tf.config.experimental.get_device_details(device)
        return str(details.get("device_name", device.name))
    return None


def batches_and_noise(
    seed: int, epoch: int, n_images: int, batch_size: int, k: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return an epoch's image indices ``(steps, batch)`` and noise ``(steps, batch, k)``."""
    generator = np.random.default_rng([seed, epoch])
    n_steps = n_images // batch_size
    order = generator.permutation(n_images)[: n_steps * batch_size].astype(np.int32)
    noise = generator.standard_normal((n_steps, batch_size, k), dtype=np.float32)
    return order.reshape(n_steps, batch_size), noise


@functools.lru_cache(maxsize=8)
def _program(shape: Shape, loss: Loss | None) -> Program:
    return Program(shape, loss)


def train_stack(
    runs: Sequence[RunSettings],
    width: int,
    train: NDArray[np.float32],
    test: NDArray[np.float32],
    loss: Loss | None = None,
) -> list[Record]:
    """Train ``runs`` side by side on ``train (n_train, d)``; measure them on both splits.

    The stack is padded to ``width`` members. A member that turns non-finite disturbs no other.
    A ``loss`` of the user's own, for a single run, is trained in place of ``a*R + b*K``.
    ``OutOfTime`` is raised when the runs' time is up.
    """
    run = runs[0]
    program = _program(_shape(run, width, len(train), len(test)), loss)
    members = [*runs, *[runs[-1]] * (width - len(runs))]
    program.refill(
        seeds=[member.seed for member in members],
        a=[member.a for member in members],
        b=[member.b for member in members],
    )
    if program.model.learned is not None:
        program.model.learned.start(train)
    images = tf.constant(train, program.shape.dtype)
    test_chunks = list(chunks(program, test))
    deadline = time.monotonic() + Stack(tuple(runs), width).time_limit
    histories: list[dict[str, list[float | int]]] = [{"epoch": []} for _ in runs]
    for epochs in _calls(run, len(train)):
        _train_epochs(program, images, members, epochs)
        if time.monotonic() > deadline:
            raise OutOfTime(f"epoch {epochs.stop} of {run.epochs} ended past the time limit")
        if epochs.stop % run.eval_every == 0 or epochs.stop == run.epochs:
            weights, bounds = (each[-1] for each in _course(runs, len(train), epochs))
            program.fit_sigma(chunks(program, train), len(train), n_samples=1)
            rows = measured(runs, program, test_chunks, len(test), weights, bounds, n_samples=1)
            for history, row, kl_weight in zip(histories, rows, weights, strict=True):
                history["epoch"].append(epochs.stop)
                if run.is_scheduled:
                    history.setdefault("kl_weight", []).append(float(kl_weight))
                for column in ("elbo", "reconstruction", "kl", "active_units", "objective"):
                    if column in row:
                        history.setdefault(column, []).append(row[column])
    records = _results(runs, program, train, test, histories)
    return records if loss is None else [_with_reason(record) for record in records]


def _with_reason(record: Record) -> Record:
    """Return the record of a loss of the user's own; where it is not finite, with since when."""
    if record.status != "nan":
        return record
    columns = ("elbo", "reconstruction", "kl")
    rows = zip(*(record.history[name] for name in ("epoch", *columns)), strict=True)
    broken = (epoch for epoch, *values in rows if not all(map(_is_finite, values)))
    since = next(broken, record.history["epoch"][-1])
    message = f"{record.settings['loss']}, which is trained itself, made it NaN by epoch {since}"
    return replace(record, message=message)


def _is_finite(number: float | None) -> bool:
    return number is not None and math.isfinite(number)


def _shape(run: RunSettings, width: int, n_train: int, n_test: int) -> Shape:
    return Shape(
        network=run.architecture,
        likelihood=run.likelihood,
        noise_std=run.noise_std,
        batch_size=run.batch_size,
        optimizer=run.optimizer,
        epsilon=run.epsilon,
        width=width,
        n_steps=len(_calls(run, n_train)[0]) * (n_train // run.batch_size),
        n_chunk=min(_LARGEST_CHUNK, n_test),
        is_scheduled=run.is_scheduled,
        kl_form=run.kl_form,
    )


def _calls(run: RunSettings, n_train: int) -> list[range]:
    """Return the epochs of every call of the program; the history is measured after some of them.

    A call costs a millisecond before its first step, so it takes some steps; none takes more
    epochs than the first.
    """
    n_steps = run.eval_every * (n_train // run.batch_size)
    n_calls = min(run.eval_every, max(1, n_steps // _STEPS_A_CALL))
    n_epochs = math.ceil(run.eval_every / n_calls)
    return [
        range(start, min(start + n_epochs, stop))
        for history in range(0, run.epochs, run.eval_every)
        for stop in (min(history + run.eval_every, run.epochs),)
        for start in range(history, stop, n_epochs)
    ]


def _course(
    runs: Sequence[RunSettings], n_train: int, epochs: range
) -> tuple[NDArray[np.floating[Any]], NDArray[np.floating[Any]]]:
    """Return w and the bound of every run at every step of these epochs: ``(steps, runs)``."""
    n_steps, steps_an_epoch = runs[0].steps(n_train)
    steps = np.arange(epochs.start * steps_an_epoch, epochs.stop * steps_an_epoch)
    return (
        np.stack([run.schedule.at(steps, n_steps, steps_an_epoch) for run in runs], axis=1),
        np.stack([run.bounds(steps, n_steps, steps_an_epoch) for run in runs], axis=1),
    )


def _train_epochs(
    program: Program, images: tf.Tensor, members: Sequence[RunSettings], epochs: range
) -> None:
    run, n_images = members[0], len(images)

    def steps_of(seed: int) -> Iterator[NDArray[Any]]:
        drawn = (batches_and_noise(seed, e, n_images, run.batch_size, run.k) for e in epochs)
        return map(np.concatenate, zip(*drawn, strict=True))

    by_seed = {seed: tuple(steps_of(seed)) for seed in {member.seed for member in members}}
    of_members = zip(*(by_seed[member.seed] for member in members), strict=True)
    batches, noise = (np.stack(steps, axis=1) for steps in of_members)
    progress = np.array(epochs) / max(1, run.epochs - 1)
    rates = run.learning_rate * run.learning_rate_decay**progress
    weights, bounds = _course(members, n_images, epochs)
    program.train(
        images,
        batches,
        noise,
        rates.repeat(n_images // run.batch_size),
        weights if run.is_scheduled else None,
        bounds if run.is_bounded else None,
    )


def _results(
    runs: Sequence[RunSettings],
    program: Program,
    train: NDArray[Any],
    test: NDArray[Any],
    histories: Sequence[dict[str, list[float | int]]],
) -> list[Record]:
    last_epoch = range(runs[0].epochs - 1, runs[0].epochs)
    kl_weights, bounds = (each[-1] for each in _course(runs, len(train), last_epoch))
    program.fit_sigma(chunks(program, train), len(train), EVALUATION_SAMPLES)
    on_test, on_train = (
        measured(
            runs, program, chunks(program, part), len(part), kl_weights, bounds, EVALUATION_SAMPLES
        )
        for part in (test, train)
    )
    if runs[0].iwae_samples:
        for metrics, bound in zip(on_test, iwae(runs, program, test), strict=True):
            metrics["iwae"] = bound
    latent_means = program.latent_means(test[:_N_LATENT_MEANS])
    reconstructions = program.reconstructions(latent_means[:, :_N_RECONSTRUCTIONS])
    # z from N(0, I), the same for every run of one k
    prior = np.random.default_rng(_PRIOR_SEED).standard_normal((_N_PRIOR_IMAGES, runs[0].k))
    prior_images = program.reconstructions(np.stack([prior] * len(latent_means)))
    weights = program.weights()
    return [
        Record.trained(
            run,
            metrics=on_test[member]
            | {
                f"train_{name}": on_train[member][name] for name in ("elbo", "reconstruction", "kl")
            },
            history=histories[member],
            arrays={
                "originals": test[:_N_RECONSTRUCTIONS],
                "reconstructions": reconstructions[member],
                "latent_means": latent_means[member],
                "prior_images": prior_images[member],
            },
            weights=[weight[member] for weight in weights],
        )
        for member, run in enumerate(runs)
    ]
