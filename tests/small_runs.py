"""Small runs on digits, and the programs that train them, step by step."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from lossbench.loss import Sizes, convention
from lossbench.nn.program import Program, Shape
from lossbench.nn.train import _program as compiled
from lossbench.nn.train import _shape, batches_and_noise
from lossbench.settings import RunSettings

D, K, _HIDDEN, BATCH, N_TRAIN = 16, 3, (8,), 16, 100  # six steps an epoch and a remnant of four
N_TEST = 360


def small_run(loss: str = "docs", beta: float = 1.0, **changes: Any) -> RunSettings:
    """Return a small run on digits; ``changes`` name its other settings."""
    run = RunSettings(
        dataset="digits",
        loss=loss,
        reconstruction_loss="bce",
        beta=beta,
        d=D,
        k=K,
        hidden=_HIDDEN,
        noise_std=1.0,
        epochs=2,
        batch_size=BATCH,
        optimizer="sgd",
        learning_rate=0.0625,
        learning_rate_decay=1.0,
        epsilon=1e-7,
        eval_every=1,
        seed=0,
        a=0.0,
        b=0.0,
        beta_eff=0.0,
        time_limit=600.0,
    )
    run = replace(run, **changes)
    found = convention(loss).coefficients(Sizes(run.d, run.k), beta)
    return replace(run, a=float(found.a), b=float(found.b), beta_eff=float(found.beta_eff))


def eight_runs(**changes: Any) -> list[RunSettings]:
    """Return eight runs that differ in loss, beta and seed."""
    return [
        small_run(loss, beta, seed=seed, **changes)
        for loss, beta, seed in (
            ("blog", 1.0, 0),
            ("docs", 1.0, 0),
            ("blog", 0.01, 1),
            ("docs", 0.1, 1),
            ("docs", 4.0, 2),
            ("blog", 0.5, 3),
            ("docs", 0.0, 4),
            ("blog", 0.0, 4),
        )
    ]


def shape_of(run: RunSettings, width: int, n_train: int = N_TRAIN, dtype: str = "float32") -> Shape:
    """Return the shape of the program that trains a run."""
    return replace(_shape(run, width, n_train, N_TEST), dtype=dtype)


def program_of(run: RunSettings, width: int, n_train: int = N_TRAIN) -> Program:
    """Return the program that train_stack would run, so that nothing is compiled twice."""
    return compiled(shape_of(run, width, n_train), None)


def refill(program: Program, runs: Sequence[RunSettings]) -> None:
    """Start the members of a program anew."""
    program.refill([run.seed for run in runs], [run.a for run in runs], [run.b for run in runs])


def train_epoch(
    program: Program, runs: Sequence[RunSettings], images: NDArray[Any], epoch: int
) -> None:
    """Train one epoch, on the batches and noise that each seed has."""
    drawn = [batches_and_noise(run.seed, epoch, len(images), run.batch_size, run.k) for run in runs]
    batches, noise = (np.stack(parts, axis=1) for parts in zip(*drawn, strict=True))
    rates = np.full(len(batches), runs[0].learning_rate)
    program.train(tf.constant(images, program.shape.dtype), batches, noise, rates)


def trained_weights(
    program: Program, runs: Sequence[RunSettings], images: NDArray[Any]
) -> list[list[NDArray[Any]]]:
    """Return the weights of every member after the runs' epochs."""
    refill(program, runs)
    for epoch in range(runs[0].epochs):
        train_epoch(program, runs, images, epoch)
    weights = [weight.copy() for weight in program.weights()]
    return [
        [
            weight[member].reshape(weight.shape[1:] if weight.shape[1] > 1 else -1)
            for weight in weights
        ]
        for member in range(len(runs))
    ]


def sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the logistic function."""
    return 1 / (1 + np.exp(-x))
