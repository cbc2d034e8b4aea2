"""What theory says of every setting of a grid, from its data alone, before any training."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lossbench import data, theory
from lossbench.experiment import Experiment, OwnLoss
from lossbench.loss import Convention, Likelihood, Scale, Sizes
from lossbench.settings import SETTINGS, RunSettings
from lossbench.words import Told

if TYPE_CHECKING:
    import pandas as pd

_SHOWN_THRESHOLDS = 8
_HALF = 0.5  # of a unit: the mean over seeds rounds to the prediction
Key = tuple[tuple[str, int, Scale], Likelihood, Scale]
# A setting's columns: those that stand left of its prediction, and the others.
_FIRST = ("dataset", "reconstruction_loss", "loss", "d", "k", "beta", "beta_eff")
_REST = tuple(s.field for s in SETTINGS if s.column and s.field not in (*_FIRST, "seed"))


@dataclass(frozen=True)
class CriticalBeta:
    """The weight from which on a convention collapses, at ``k`` latents or, if None, at any k.

    ``beta`` is None if it collapses at none. It holds for one factor on the noise and one batch
    size, which thresholds and weights depend on, and for a weight that stays what it is.
    """

    loss: str
    k: int | None
    beta: float | None
    noise_std: float
    batch_size: int


@dataclass(frozen=True)
class Thresholds:
    """The thresholds of one dataset at one d: the largest few, and what follows from t_1.

    ``parameters`` are those of the likelihood. ``largest`` are those at noise_std 1; where there is
    none to tell, ``untold`` says why. ``reconstruction_of_nothing`` is R_0, in nats an image of
    the training split, that of a model that gives every image the mean; ``first`` tells how many of
    the ``n_images`` carry t_1. ``n_constant`` inputs never vary in training.
    """

    dataset: str
    d: int
    reconstruction_loss: str
    largest: tuple[float, ...]
    critical: tuple[CriticalBeta, ...]
    n_images: int
    reconstruction_of_nothing: float
    first: theory.Direction | None
    parameters: Mapping[str, float | str] = field(default_factory=dict)
    scale: Scale = "auto"
    n_constant: int = 0
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
    what theory says of the KL of other models with unit noise, usually too little. ``sigma`` is
    that of a decoder which learns one, usually less in a model that is not linear; the objective
    ``is_unbounded`` where a learned sigma runs to its floor.
    """

    run: RunSettings
    final_beta_eff: float
    threshold: float | None
    predicted_active_units: int | None
    kl: float | None = None
    reconstruction: float | None = None
    elbo: float | None = None
    kl_guess: float | None = None
    sigma: float | None = None
    is_unbounded: bool = False

    @property
    def beta_eff_over_threshold(self) -> float | None:
        """``final_beta_eff / t_1``, which compares settings across data: at 1 collapse begins.

        None where no threshold is told, or it is 0.
        """
        return self.final_beta_eff / self.threshold if self.threshold else None

    @property
    def collapses(self) -> bool | None:
        """Whether no latent is predicted to be active; None where that is not told."""
        if self.threshold is not None and self.run.likelihood.learns != "learned_per_input":
            return self.final_beta_eff >= self.threshold
        n_active = self.predicted_active_units
        return None if n_active is None else n_active == 0

    @property
    def beta_eff_as_mse(self) -> float | None:
        """The weight for ``mse`` that a learned sigma amounts to: ``2 sigma^2 beta_eff``."""
        return None if self.sigma is None else 2 * self.sigma**2 * self.final_beta_eff

    def facts(self) -> dict[str, object]:
        """Return the setting, but for its seed, and its prediction as JSON has them."""
        first, rest = ({n: getattr(self.run, n) for n in names} for names in (_FIRST, _REST))
        told = {n: x for n, x in vars(self).items() if n not in ("run", "sigma")}
        told |= {"predicted_sigma": self.sigma, "beta_eff_as_mse": self.beta_eff_as_mse}
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
    known = spectra(runs, data_dir)
    resolved = resolved.shaped(runs, lambda run: known[key_of(run)].shape)
    if resolved.image_shapes:
        runs = resolved.runs()
    firsts: dict[tuple[object, ...], RunSettings] = {}
    users: dict[Key, list[RunSettings]] = {}
    for run in runs:
        firsts.setdefault(run.setting, run)
        users.setdefault(key_of(run), []).append(run)
    return Prediction(
        thresholds=tuple(
            _thresholds(key, spectrum, resolved, users[key]) for key, spectrum in known.items()
        ),
        settings=tuple(
            predicted(
                run,
                known[key_of(run)],
                resolved.n_images[run.dataset],
            )
            for run in firsts.values()
        ),
        schedules=resolved.schedules_told(runs),
        forms=resolved.forms_told(runs),
    )


@dataclass(frozen=True, eq=False)
class Spectrum:
    """The thresholds of one likelihood on the training ``images (n, d)``, and what they rest on.

    ``shape`` is that of one image; ``fitted`` is the likelihood with numbers for parameters that
    thresholds need.
    """

    images: NDArray[np.float32]
    shape: tuple[int, ...]
    fitted: Likelihood
    moments: theory.Moments
    thresholds: NDArray[np.float64]


def key_of(run: RunSettings) -> Key:
    """Return what the thresholds of a run depend on."""
    return run.data, run.likelihood, run.scale


def spectra(runs: Sequence[RunSettings], data_dir: Path | None = None) -> dict[Key, Spectrum]:
    """Return the thresholds that runs have, by ``key_of``.

    ``DataError`` if the data is missing, or unfit for a likelihood.
    """
    images = {
        (name, d, scale): data.load(name, d, data_dir, scale)
        for name, d, scale in dict.fromkeys(run.data for run in runs)
    }
    for run in runs:
        data.refuse_misfit(images[run.data], run.likelihood, run.scale, run.values_output)
    moments = {key: theory.moments(found.train) for key, found in images.items()}
    found = {}
    for seen, kind, scale in dict.fromkeys(map(key_of, runs)):
        train = images[seen].train
        fitted = kind.fitted(train)
        thresholds = theory.thresholds(moments[seen], fitted)
        found[seen, kind, scale] = Spectrum(
            train, images[seen].shape, fitted, moments[seen], thresholds
        )
    return found


def _thresholds(
    key: Key, spectrum: Spectrum, experiment: Experiment, runs: list[RunSettings]
) -> Thresholds:
    """Return what follows from the thresholds of the data that ``runs`` train on."""
    (dataset, d, _), kind, scale = key
    images, thresholds = spectrum.images, spectrum.thresholds
    n_images = experiment.n_images[dataset]
    return Thresholds(
        dataset=dataset,
        d=d,
        reconstruction_loss=kind.name,
        largest=tuple(float(t) for t in thresholds[:_SHOWN_THRESHOLDS]),
        critical=()
        if kind.no_threshold
        else tuple(
            dict.fromkeys(
                _critical(
                    run,
                    experiment.convention(run.loss),
                    n_images,
                    theory.collapse_threshold(thresholds, run.noise_std),
                )
                for run in runs
                if not (run.built and run.built.untold)
                and (
                    not isinstance(own := experiment.convention(run.loss), OwnLoss)
                    or own.is_proportional
                )
            )
        ),
        n_images=n_images,
        reconstruction_of_nothing=theory.reconstruction_of_nothing(images, images, spectrum.fitted),
        first=theory.first_direction(images, spectrum.moments, spectrum.fitted),
        parameters={name: getattr(kind, name) for name in kind.parameters},
        scale=scale,
        n_constant=int((~spectrum.moments.varies).sum()),
        untold=kind.no_threshold,
    )


def _critical(
    run: RunSettings, loss: Convention, n_images: int, threshold: float | None
) -> CriticalBeta:
    """Return the weight at which the convention's ``beta_eff`` reaches the threshold."""
    sizes = Sizes(d=run.d, k=run.k, batch_size=run.batch_size, n_images=n_images)
    unit = loss.coefficients(sizes, 1).beta_eff
    beta = None if threshold is None or not unit else float(loss.beta(threshold, sizes))
    # one's own is known at the sizes of the grid alone
    k: int | None = run.k
    if not isinstance(loss, OwnLoss):
        others = loss.coefficients(replace(sizes, k=run.k + 1), 1).beta_eff
        k = None if unit == others else run.k
    return CriticalBeta(run.loss, k, beta, run.noise_std, run.batch_size)


def predicted(run: RunSettings, spectrum: Spectrum, n_images: int) -> Predicted:
    """Return what theory says of a run on data of that ``spectrum``, ``n_images`` in training."""
    told = theory.outlook(run, spectrum.thresholds, spectrum.moments, n_images)
    trained, best = run.likelihood, told.best
    known = Predicted(
        run,
        told.final_beta_eff,
        threshold=told.threshold,
        predicted_active_units=best.active_units,
        sigma=best.sigma,
        is_unbounded=best.is_unbounded,
    )
    is_exact = trained.has_linear_optimum and run.architecture.is_linear and run.kl_form.is_of_means
    if not is_exact:
        return replace(known, kl_guess=best.kl)
    if best.kl is None or best.reconstruction is None:
        return known
    elbo = trained.elbo(best.reconstruction, best.kl, run.d)
    return replace(known, kl=best.kl, reconstruction=best.reconstruction, elbo=elbo)
