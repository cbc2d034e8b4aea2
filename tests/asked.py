"""Experiments as a user asks for them: a file, options, and what is refused."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from lossbench.errors import ExperimentError
from lossbench.experiment import Experiment, read

Write = Callable[[str], Path]


def refusal_of(
    path: Path, overrides: Mapping[str, str] | None = None, line: int | None = None
) -> ExperimentError:
    """Return the error of a file, which names the file and the line."""
    with pytest.raises(ExperimentError) as caught:
        read(path, overrides)
    if line is not None:
        assert caught.value.where == f"{path}, line {line}"
    assert len(str(caught.value).splitlines()) <= 5
    return caught.value


def ids_of(experiment: Experiment) -> list[str]:
    """Return the ids of an experiment's runs."""
    return [run.run_id for run in experiment.runs()]


def resolved(path: Path, overrides: Mapping[str, str] | None = None) -> Experiment:
    """Return an experiment as it is once its data was looked at."""
    asked = read(path, overrides).resolved(lambda _: (64, 1437, ()))
    return replace(
        asked, data_sha256={f"{r.dataset} at d={r.d}": f"hash of {r.d}" for r in asked.runs()}
    )


OTHER_SETTINGS = {
    "dataset": "patches",
    "loss": "blog",
    "reconstruction_loss": "mse",
    "beta": 2.0,
    "d": 16,
    "k": 3,
    "hidden": (64, 64),
    "network": "conv",
    "filters": (8,),
    "kernel_size": 5,
    "noise_std": 0.5,
    "epochs": 100,
    "batch_size": 64,
    "optimizer": "sgd",
    "learning_rate": 0.01,
    "learning_rate_decay": 0.5,
    "epsilon": 1e-8,
    "eval_every": 5,
    "seed": 1,
    "kl_schedule": "linear:0.5",
    "sigma": 0.5,
    "log_sigma_floor": -4.0,
    "scale": "unit",
    "output": "identity",
    "dispersion": 2.0,
    "groups": "4",
    "iwae_samples": 100,
    "free_bits": 0.5,
    "free_bits_over": "total",
    "capacity": "25:0.5",
    "kl_estimator": "sample",
}
LATER = {
    "network",
    "filters",
    "kernel_size",
    "iwae_samples",
    "kl_schedule",
    "sigma",
    "log_sigma_floor",
    "scale",
    "output",
    "dispersion",
    "groups",
    "free_bits",
    "free_bits_over",
    "capacity",
    "kl_estimator",
}  # came later: at their default no id shows them
