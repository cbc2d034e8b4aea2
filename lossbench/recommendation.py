"""Which weight on the KL reaches a goal: the thresholds of the data, solved for ``beta_eff``.

No weight is the best one; one is right for a goal. Theory gives it before any training, and each
convention the number to write for it.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from lossbench import data, theory
from lossbench.errors import UsageError
from lossbench.experiment import Experiment
from lossbench.experiment import read as read_experiment
from lossbench.loss import LIKELIHOODS, Convention, Gaussian, Sizes, canonical
from lossbench.prediction import Predicted, Spectrum, key_of, predicted, spectra
from lossbench.settings import RunSettings
from lossbench.words import Told, counted, joined, setting, significant

if TYPE_CHECKING:
    import pandas as pd

MARGIN = 2.0
GOALS = {
    "kl": "--kl NATS: how much a code tells of an image, as for models compared at one rate",
    "rate_bits": "--rate-bits BITS: the same in bits, as for compression",
    "active": "--active N: how many latents are used, as for a map of the data or factors to name",
    "no_collapse": "--no-collapse: the largest weight at which the latents still carry something, "
    "t_1 divided by --margin, as for samples from the prior",
}
AUTO = "auto"  # k: as many latents as have something to carry
_DEFAULTS = {
    "dataset": "digits",
    "loss": "docs",
    "reconstruction_loss": "bce",
    "k": AUTO,
    "seeds": "1",
}
_LEAST = 1e-6  # of t_1: a smaller weight trains as none does
_SLOW = 0.5  # of t_1: above, a usual start takes long to leave the collapsed solution
_NATS_A_BIT = math.log(2)
_ASIDE = ("loss", "definition", "beta", "beta_eff", "a", "b", "seed")

Held = Literal["exact", "guess", "no verdict"]


@dataclass(frozen=True)
class Goal:
    """What is wanted: a KL in nats, a number of active latents, or only that some are active.

    ``margin`` is how many times below t_1 the last one stays; ``bits`` is set where the KL was
    asked for in bits.
    """

    kind: Literal["kl", "active", "no_collapse"]
    wanted: float = 0.0
    margin: float = MARGIN
    bits: float | None = None

    def __str__(self) -> str:
        """Return the goal in a few words."""
        if self.kind == "active":
            return counted(round(self.wanted), "active latent")
        if self.kind == "no_collapse":
            return "no collapse"
        in_bits = "" if self.bits is None else f", {significant(self.bits)} bits"
        return f"a KL of {significant(self.wanted)} nats{in_bits}"


def goal(
    kl: float | None = None,
    rate_bits: float | None = None,
    active: int | None = None,
    *,
    no_collapse: bool = False,
    margin: float | None = None,
) -> Goal:
    """Return the one goal that is given; ``UsageError`` tells which there are."""
    given = {"kl": kl, "rate_bits": rate_bits, "active": active, "no_collapse": no_collapse or None}
    named = [f"--{name.replace('_', '-')}" for name, value in given.items() if value is not None]
    if len(named) != 1:
        raise UsageError(
            "two goals want two weights" if named else "a weight is the right one for a goal",
            expected="one of\n    " + "\n    ".join(GOALS.values()),
            received=joined(named) if named else "none",
        )
    for name, value, least in (
        ("--kl", kl, 0.0),
        ("--rate-bits", rate_bits, 0.0),
        ("--active", active, 0.0),
        ("--margin", margin, 1.0),
    ):
        if value is not None and not least < value < math.inf:
            raise UsageError(
                "the goal has a value that it cannot take",
                where=name,
                expected=f"a number above {significant(least)}",
                received=significant(value),
            )
    if margin is not None and not no_collapse:
        raise UsageError("a margin is kept from t_1", where="--margin", expected="--no-collapse")
    if active is not None:
        return Goal("active", active)
    if no_collapse:
        return Goal("no_collapse", margin=MARGIN if margin is None else margin)
    if rate_bits is not None:
        return Goal("kl", rate_bits * _NATS_A_BIT, bits=rate_bits)
    assert kl is not None  # noqa: S101 - one of them is given
    return Goal("kl", kl)


@dataclass(frozen=True)
class Weight:
    """What to write in one convention: ``beta`` in a sweep, ``written`` in its own code.

    ``a`` and ``b`` are those of the objective. ``code`` computes the loss of ``r (B, d)``, what
    each input adds to R, and of ``kl (B, k)``, what each latent adds to K.
    """

    loss: str
    beta: float
    written: float
    a: float
    b: float
    code: str


@dataclass(frozen=True)
class Trained:
    """One weight that was trained: its mean KL on the test split, or active units, over ``runs``.

    ``active_units`` are the mean, too.
    """

    beta_eff: float
    reached: float
    active_units: float
    runs: tuple[str, ...]


@dataclass(frozen=True)
class Confirmed:
    """What training found: the weight that came nearest to the goal, and all that were tried.

    ``weights`` are what to write for ``best``. Where the goal was not ``met``, ``reason`` says why
    and what to do. The runs are in ``folder``; ``predicted_kl`` is what theory says at ``best``.
    """

    met: bool
    best: Trained
    weights: tuple[Weight, ...]
    tried: tuple[Trained, ...]
    n_rounds: int
    epochs: int
    folder: Path
    reason: str = ""
    predicted_kl: float | None = None


@dataclass(frozen=True)
class Recommended:
    """The weight for one data set, likelihood and model.

    ``predicted`` is what theory says there, of a run of the first convention. The goal holds for
    every ``beta_eff`` from ``lowest`` on and below ``highest``, where it leaves a choice.
    ``useful_k`` latents have something to carry at this weight: a further one would not.
    ``holds`` is how far theory holds, and ``notes`` say why and what to do. ``confirmed`` is what
    training found, where it was asked.
    """

    predicted: Predicted
    weights: tuple[Weight, ...]
    useful_k: int
    holds: Held
    notes: tuple[str, ...]
    lowest: float | None = None
    highest: float | None = None
    confirmed: Confirmed | None = None

    @property
    def beta_eff(self) -> float:
        """The weight of K against R that has the goal, at the end of a schedule."""
        return self.predicted.final_beta_eff

    def facts(self) -> dict[str, object]:
        """Return the recommendation as JSON has it: that of a sweep's run, and the weights."""
        own = {name: x for name, x in vars(self).items() if name != "predicted"}
        known = {n: x for n, x in self.predicted.facts().items() if n not in _ASIDE}
        return known | {"beta_eff": self.beta_eff} | own


@dataclass(frozen=True)
class Recommendation(Told):
    """A goal, and the weight that has it for every data set and model that is asked about."""

    goal: Goal
    cases: tuple[Recommended, ...]

    def to_frame(self) -> "pd.DataFrame":
        """Return a row a convention and case: what to write, and what follows."""
        import pandas as pd  # noqa: PLC0415 - the recommendation needs none

        facts = [
            (case, {n: x for n, x in case.facts().items() if n not in ("weights", "notes")})
            for case in self.cases
        ]
        return pd.DataFrame(
            [{**vars(weight), **known} for case, known in facts for weight in case.weights]
        )


def read(file: Path | None, overrides: Mapping[str, str]) -> tuple[Experiment, bool]:
    """Return what is asked about, and whether its k is ``auto``; errors are those of ``sweep``.

    Without a file it is the documentation's loss on digits, with ``bce`` and as many latents as
    have something to carry, and one seed to confirm it. A weight is refused: it is the answer.
    """
    for name in ("beta", "beta_eff"):
        if name in overrides:
            raise UsageError(
                "the weight is what is asked for",
                where=f"--{name.replace('_', '-')}",
                expected="a goal in place of it, such as --kl 10",
                received=overrides[name],
            )
    texts = ({} if file else _DEFAULTS) | dict(overrides) | {"beta": "1"}
    is_auto = texts.get("k") == AUTO
    return read_experiment(file, texts | ({"k": "1"} if is_auto else {})), is_auto


def recommend(
    asked: Experiment, wanted: Goal, *, auto_k: bool = False, data_dir: Path | None = None
) -> Recommendation:
    """Return the weight that has the goal, for every case and convention of an experiment.

    ``UsageError`` says why none has it, and what to do; ``DataError`` if the data is missing or
    unfit. With ``auto_k`` every case has as many latents as carry something there.
    """
    resolved = asked.resolved(lambda name: data.native_sizes(name, data_dir))
    runs = resolved.runs()
    known = spectra(runs, data_dir)
    resolved = resolved.shaped(runs, lambda run: known[key_of(run)].shape)
    cases: dict[RunSettings, dict[str, RunSettings]] = {}
    for run in resolved.runs():
        case = replace(run, loss="", definition="", beta=1.0, beta_eff=1.0, a=1.0, b=1.0, seed=0)
        cases.setdefault(case, {}).setdefault(run.loss, run)
    return Recommendation(
        wanted,
        tuple(
            _recommended(
                resolved, wanted, tuple(of_case.values()), known[key_of(case)], auto_k=auto_k
            )
            for case, of_case in cases.items()
        ),
    )


def _recommended(
    asked: Experiment,
    wanted: Goal,
    runs: tuple[RunSettings, ...],
    known: Spectrum,
    *,
    auto_k: bool,
) -> Recommended:
    """Return the weight of one case; ``runs`` have a convention each."""
    first, *_ = runs
    n_images = asked.n_images[first.dataset]
    _check_told(first, wanted)
    values = known.thresholds[known.thresholds > 0] / first.noise_std**2
    most = len(values) if auto_k else first.k
    fixed = _solved(values, wanted, most, first)
    useful_k = int((values > fixed).sum())

    def learned(weight: float) -> float:
        """Return it for a sigma that is learned, if it is."""
        learns = isinstance(first.likelihood, Gaussian) and first.likelihood.learns
        if not learns or wanted.kind == "no_collapse":
            return weight
        return theory.with_shared_sigma(values, weight, first.d, most)

    held = learned(fixed)
    if held != fixed:  # at this weight more latents would leave a smaller sigma, and carry more
        whole = (known.thresholds, known.moments, first.likelihood, held, len(values), 1.0)
        useful_k = theory.expected(*whole).active_units or len(values)
    lowest, highest = (None if x is None else learned(x) for x in _interval(values, wanted))
    k = max(1, useful_k) if auto_k else first.k
    last_weight = first.schedule.last_weight(*first.steps(n_images))
    if not last_weight:
        raise UsageError(
            "the schedule ends at a weight of 0, so no beta has the goal",
            where="kl_schedule",
            expected="a schedule that ends at a weight above 0",
            received=first.kl_schedule,
        )
    held, beta_eff = canonical(held), canonical(held / last_weight)
    weights = weights_at(beta_eff, asked, [replace(run, k=k) for run in runs])
    told = replace(
        *(first,), k=k, beta=weights[0].beta, a=weights[0].a, b=weights[0].b, beta_eff=beta_eff
    )
    followed = predicted(told, known, n_images)
    direction = theory.first_direction(known.images, known.moments, known.fitted)
    limits = direction.limits(n_images) if direction else ()
    exact = told.likelihood.has_linear_optimum and told.architecture.is_linear
    return Recommended(
        predicted=followed,
        weights=weights,
        useful_k=useful_k,
        holds="exact" if exact else "no verdict" if limits else "guess",
        notes=tuple(_notes(followed, wanted, () if exact else limits, exact=exact)),
        lowest=lowest,
        highest=highest,
    )


def _check_told(run: RunSettings, wanted: Goal) -> None:
    """Refuse a goal that theory says nothing of, for this likelihood or this noise."""
    if run.likelihood.no_threshold:
        told = [kind.name for kind in LIKELIHOODS.values() if not kind.no_threshold]
        raise UsageError(
            "no weight can be recommended: " + run.likelihood.no_threshold,
            where=f"reconstruction_loss {run.reconstruction_loss}",
            expected=f"a likelihood with thresholds: {', '.join(told)}",
            remedy="lossbench sweep with a few --beta-eff: `show` has the KL of each",
        )
    if run.built and run.built.untold:
        raise UsageError(
            "no weight can be recommended: " + run.built.untold,
            where=f"network {run.network}",
            expected="a network that the thresholds hold for",
            remedy="lossbench sweep with a few --beta-eff: `show` has the KL of each",
        )
    if run.likelihood.learns == "learned_per_input":
        raise UsageError(
            "no weight can be recommended: with a sigma for each input two optima stand side by "
            "side, and which one is reached depends on the start",
            where="sigma",
            expected="a number, learned or optimal",
            received="learned_per_input",
        )
    if run.is_bounded:
        raise UsageError(
            "a floor or a capacity sets the KL itself",
            where="capacity" if run.kl_form.bounded == "capacity" else "free_bits",
            expected="a goal for a constant weight, without either",
            received=str(run.capacity) if run.kl_form.bounded == "capacity" else str(run.free_bits),
            remedy="leave it out: the weight for --kl C has the same KL as a capacity of C",
        )
    learns = isinstance(run.likelihood, Gaussian) and run.likelihood.learns
    if (wanted.kind == "kl" or (learns and wanted.kind == "active")) and run.noise_std != 1:
        raise UsageError(
            "what the KL is, is told for unit noise only",
            where="noise_std",
            expected="1, or the goal --active or --no-collapse",
            received=setting(run.noise_std),
        )


def _interval(values: NDArray[np.float64], wanted: Goal) -> tuple[float | None, float | None]:
    """Return from which ``beta_eff`` on, and below which, so many latents are active."""
    n_active = round(wanted.wanted)
    if wanted.kind != "active" or n_active > len(values):
        return None, None
    return float(values[n_active]) if n_active < len(values) else 0.0, float(values[n_active - 1])


def _solved(values: NDArray[np.float64], wanted: Goal, k: int, run: RunSettings) -> float:
    """Return the ``beta_eff`` that has the goal; ``UsageError`` says why none has it.

    ``values`` are the thresholds above 0, those of the noise that is sampled.
    """
    case = f"{run.dataset}, d {run.d}, {run.reconstruction_loss}"
    least = _LEAST * float(values[0])
    if wanted.kind == "no_collapse":
        return float(values[0]) / wanted.margin
    n_told = int((values > least).sum())
    if wanted.kind == "active":
        n_active = round(wanted.wanted)
        if n_active > n_told:
            raise UsageError(
                f"the data has fewer directions than {n_active}: a latent more has nothing to say",
                where=case,
                expected=f"at most {n_told} active latents",
                received=str(n_active),
                remedy=f"--active {n_told}, or a larger --d",
            )
        if n_active > k:
            raise UsageError(
                "there are fewer latents than shall be active",
                where=case,
                expected=f"k of at least {n_active}",
                received=f"k {k}",
                remedy=f"--k {n_active}, or --k auto",
            )
        after = float(values[n_active]) if n_active < n_told else float(values[n_active - 1]) / 4
        if after == values[n_active - 1]:
            before = int((values > after).sum())
            upto = int((values >= after).sum())
            raise UsageError(
                f"no weight has {n_active}: directions {before + 1} to {upto} have one threshold, "
                "and come together",
                where=case,
                expected=" or ".join(str(n) for n in (before, upto) if n),
                received=str(n_active),
            )
        return math.sqrt(after * float(values[n_active - 1]))
    solved = theory.beta_eff_of_kl(values, wanted.wanted, k)
    if solved >= least:
        return solved
    enough = [
        n
        for n in range(k + 1, n_told + 1)
        if theory.beta_eff_of_kl(values, wanted.wanted, n) >= least
    ]
    reached = theory.predicted_kl(values, least, k)
    raise UsageError(
        f"{counted(k, 'latent')} cannot carry that much"
        if enough
        else "the data has no such rate: not even all its directions carry that much",
        where=case,
        expected=f"at most {significant(reached, 3)} nats, at a weight of a millionth of t_1",
        received=str(wanted),
        remedy=f"--k {enough[0]} or more, or --k auto" if enough else "a smaller goal",
    )


def weights_at(
    beta_eff: float, asked: Experiment, runs: Iterable[RunSettings]
) -> tuple[Weight, ...]:
    """Return what to write for it in the convention of each of these runs, at its sizes."""
    return tuple(
        _weight(
            asked.convention(run.loss),
            beta_eff,
            Sizes(run.d, run.k, run.batch_size, asked.n_images[run.dataset]),
        )
        for run in runs
    )


def _weight(loss: Convention, beta_eff: float, sizes: Sizes) -> Weight:
    """Return what to write in a convention; ``UsageError`` if it has no KL term."""
    beta = canonical(float(loss.beta(beta_eff, sizes)))
    found = loss.coefficients(sizes, beta)
    n_batch = (sizes.batch_size or 1) if loss.over_batch == "sum" else 1
    of_r = found.a / n_batch * ((sizes.d or 1) if loss.over_inputs == "mean" else 1)
    of_kl = found.b / n_batch * ((sizes.k or 1) if loss.over_latents == "mean" else 1)
    factor = "" if of_r == 1 else f"{_factor(of_r)} * "
    return Weight(
        loss=loss.name,
        beta=beta,
        written=float(Fraction(beta) * Fraction(loss.default_beta)),
        a=float(found.a),
        b=float(found.b),
        code=f"loss = {loss.over_batch}({factor}{loss.over_inputs}(r, axis=1) + "
        f"{_factor(of_kl)} * {loss.over_latents}(kl, axis=1))",
    )


def _factor(number: Fraction) -> str:
    return significant(number, 6)


def _notes(found: Predicted, wanted: Goal, limits: tuple[str, ...], *, exact: bool) -> list[str]:
    """Return what to know before the weight is used, a sentence each."""
    notes = list(limits)
    if wanted.kind == "kl" and not exact:
        notes.append(
            "A model that is not linear with mse has another KL at this weight than theory says, "
            "near t_1 usually a larger one: take it for where to start. --confirm trains short "
            "runs and finds the weight."
        )
    if wanted.kind == "active" and not exact:
        notes.append("Predicted active units are close near t_1 and an upper bound far below it.")
    ratio = found.beta_eff_over_threshold
    if ratio is not None and ratio > _SLOW:
        notes.append(
            "So near t_1 a usual start takes long to leave the collapsed solution: train longer, "
            "or begin at a smaller weight, as --kl-schedule far:0.3:0.1 does."
        )
    return notes
