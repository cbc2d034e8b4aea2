"""What theory says of every setting of a grid, from its data alone, before any training."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lossbench import data, theory
from lossbench.experiment import Experiment
from lossbench.loss import Convention, Likelihood, Sizes
from lossbench.settings import SETTINGS, RunSettings
from lossbench.words import Told

if TYPE_CHECKING:
    import pandas as pd

_SHOWN_THRESHOLDS = 8
_HALF = 0.5  # of a unit: the mean over seeds rounds to the prediction
_Key = tuple[str, int, Likelihood]
# A setting's columns: those that stand left of its prediction, and the others.
_FIRST = ("dataset", "reconstruction_loss", "loss", "d", "k", "beta", "beta_eff")
_REST = tuple(s.field for s in SETTINGS if s.column and s.field not in (*_FIRST, "seed"))


@dataclass(frozen=True)
class CriticalLatents:
    """The latent sizes at which a convention at weight 1 collapses: every k up to ``k``.

    ``k`` is 0 if it collapses at none, and None if it collapses at all of them. It holds for one
    factor on the noise and one batch size, which thresholds and weights depend on.
    """

    loss: str
    k: int | None
    noise_std: float
    batch_size: int


@dataclass(frozen=True)
class Thresholds:
    """The thresholds of one dataset at one d: the largest few, and what follows from t_1.

    ``parameters`` are those of the likelihood. ``largest`` are those at noise_std 1; where there is
    none to tell, ``untold`` says why. ``reconstruction_of_nothing`` is R_0, in nats an image of
    the training split, that of a model that gives every image the mean; ``first`` tells how many of
    the ``n_images`` carry t_1.
    """

    dataset: str
    d: int
    reconstruction_loss: str
    largest: tuple[float, ...]
    critical: tuple[CriticalLatents, ...]
    n_images: int
    reconstruction_of_nothing: float
    first: theory.Direction | None
    parameters: Mapping[str, float | str] = field(default_factory=dict)
    untold: str = ""


@dataclass(frozen=True)
class Predicted:
    """The prediction for one setting of the grid: for ``run`` and for those of other seeds.

    ``final_beta_eff`` is what is held against the threshold: beta_eff * w at the last step, where a
    schedule runs.
    ``threshold`` and ``predicted_active_units`` are None where the likelihood has no threshold;
    with a floor or a capacity no ``threshold`` is told, since no such setting collapses.
    ``kl``, ``reconstruction`` and ``elbo`` (nats per image of the training split) are known for a
    linear model with ``mse`` or ``gaussian`` and unit noise, and None otherwise; ``kl_guess`` is
    what theory says of the KL of other models with unit noise, usually too little.
    """

    run: RunSettings
    final_beta_eff: float
    threshold: float | None
    predicted_active_units: int | None
    kl: float | None = None
    reconstruction: float | None = None
    elbo: float | None = None
    kl_guess: float | None = None

    @property
    def beta_eff_over_threshold(self) -> float | None:
        """``final_beta_eff / t_1``, which compares settings across data: at 1 collapse begins."""
        return None if self.threshold is None else self.final_beta_eff / self.threshold

    @property
    def collapses(self) -> bool | None:
        """Whether no latent is predicted to be active; None where that is not told."""
        n_active = self.predicted_active_units
        return None if n_active is None else n_active == 0

    def facts(self) -> dict[str, object]:
        """Return the setting, but for its seed, and its prediction as JSON has them."""
        first, rest = ({n: getattr(self.run, n) for n in names} for names in (_FIRST, _REST))
        told = {n: x for n, x in vars(self).items() if n != "run"}
        return first | told | {"beta_eff_over_threshold": self.beta_eff_over_threshold} | rest


@dataclass(frozen=True)
class Prediction(Told):
    """The thresholds of an experiment's data and the prediction for every setting.

    ``schedules`` tell what each schedule of the weight on K does, and how it ends; ``forms`` what
    each floor, capacity and estimator does.
    """

    thresholds: tuple[Thresholds, ...]
    settings: tuple[Predicted, ...]
    schedules: tuple[str, ...] = ()
    forms: tuple[str, ...] = ()

    def to_frame(self) -> "pd.DataFrame":
        """Return a row a setting, seeds aside, with what is predicted of it."""
        import pandas as pd  # noqa: PLC0415 - the prediction needs none

        return pd.DataFrame([each.facts() for each in self.settings])


@dataclass(frozen=True)
class Agreement:
    """Predicted against measured active units, over the settings with 0 < predicted < k."""

    n_settings: int
    n_within_one: int
    n_equal: int


def agreement(summary: "pd.DataFrame") -> Agreement:
    """Return how often the prediction held in a summary; measured is the mean over seeds."""
    predicted = summary["predicted_active_units"].astype("float64")
    measured = summary["active_units"].astype("float64")
    counted = (predicted > 0) & (predicted < summary["k"].astype("float64")) & measured.notna()
    error = (measured - predicted)[counted].abs()
    return Agreement(
        n_settings=int(counted.sum()),
        n_within_one=int((error <= 1).sum()),
        n_equal=int((error < _HALF).sum()),
    )


def predict(experiment: Experiment, data_dir: Path | None = None) -> Prediction:
    """Return what theory says of every setting of an experiment.

    ``DataError`` if the data is missing or unfit. Seeds make no settings of their own; training
    makes no difference.
    """
    resolved = experiment.resolved(lambda name: data.native_sizes(name, data_dir))
    runs = resolved.runs()
    images = {
        (name, d): data.load(name, d, data_dir)
        for name, d in dict.fromkeys((run.dataset, run.d) for run in runs)
    }
    users: dict[_Key, list[RunSettings]] = {}
    for run in runs:
        users.setdefault((run.dataset, run.d, run.likelihood), []).append(run)
    for (name, d, kind), of_kind in users.items():
        has_hidden = any(run.hidden for run in of_kind)
        data.refuse_misfit(images[name, d], kind, has_hidden=has_hidden)
    moments = {key: theory.moments(found.train) for key, found in images.items()}
    known = {(name, d, kind): theory.thresholds(moments[name, d], kind) for name, d, kind in users}
    firsts: dict[tuple[object, ...], RunSettings] = {}
    for run in runs:
        firsts.setdefault(run.setting, run)
    return Prediction(
        thresholds=tuple(
            _thresholds(
                key, values, resolved, users[key], (images[key[:2]].train, moments[key[:2]])
            )
            for key, values in known.items()
        ),
        settings=tuple(
            _predicted(
                run,
                known[run.dataset, run.d, run.likelihood],
                resolved.n_images[run.dataset],
            )
            for run in firsts.values()
        ),
        schedules=resolved.schedules_told(runs),
        forms=resolved.forms_told(runs),
    )


def _thresholds(
    key: _Key,
    thresholds: NDArray[np.float64],
    experiment: Experiment,
    runs: list[RunSettings],
    known: tuple[NDArray[np.float32], theory.Moments],
) -> Thresholds:
    """Return what follows from the thresholds of the data that ``runs`` train on."""
    dataset, d, kind = key
    cases = dict.fromkeys((run.loss, run.noise_std, run.batch_size) for run in runs)
    n_images = experiment.n_images[dataset]
    return Thresholds(
        dataset=dataset,
        d=d,
        reconstruction_loss=kind.name,
        largest=tuple(float(t) for t in thresholds[:_SHOWN_THRESHOLDS]),
        critical=()
        if kind.no_threshold
        else tuple(
            CriticalLatents(
                loss,
                _critical_k(
                    experiment.convention(loss),
                    Sizes(d=d, k=1, batch_size=batch_size, n_images=n_images),
                    theory.collapse_threshold(thresholds, noise_std),
                ),
                noise_std,
                batch_size,
            )
            for loss, noise_std, batch_size in cases
        ),
        n_images=n_images,
        reconstruction_of_nothing=theory.reconstruction_of_nothing(known[0], known[0], kind),
        first=theory.first_direction(*known, kind),
        parameters={name: getattr(kind, name) for name in kind.parameters},
        untold=kind.no_threshold,
    )


def _critical_k(loss: Convention, sizes: Sizes, threshold: float | None) -> int | None:
    """Return the largest k up to which the convention at weight 1 collapses at every k."""
    for k in range(1, (sizes.d or 0) + 1):
        beta_eff = loss.coefficients(replace(sizes, k=k), 1).beta_eff
        if threshold is not None and float(beta_eff) < threshold:
            return k - 1
    return None


def _predicted(run: RunSettings, thresholds: NDArray[np.float64], n_images: int) -> Predicted:
    told = theory.outlook(run, thresholds, n_images)
    known = Predicted(
        run,
        told.final_beta_eff,
        threshold=told.threshold,
        predicted_active_units=told.predicted_active_units,
    )
    trained, weight = run.likelihood, told.like_constant
    if run.noise_std != 1 or not weight or trained.no_threshold:
        return known
    is_exact = trained.has_linear_optimum and run.network.is_linear and run.kl_form.is_of_means
    if not is_exact:
        return replace(known, kl_guess=theory.predicted_kl(thresholds, weight, run.k))
    optimum = theory.linear_optimum(thresholds, weight, run.k, trained.without_error(run.d))
    return replace(
        known,
        kl=optimum.kl,
        reconstruction=optimum.reconstruction,
        elbo=trained.elbo(optimum.reconstruction, optimum.kl, run.d),
    )
