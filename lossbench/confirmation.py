"""A recommendation held against training: short stacks around the guess, until the goal is met.

Several weights are trained side by side in one stack; between those that bracket the goal the next
ones are interpolated in the logarithm of ``beta_eff``. The runs are ordinary ones in a results
folder, so that the same question again trains only what is missing.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from lossbench import data, theory
from lossbench.errors import RunsFailedError
from lossbench.experiment import Experiment, stacks
from lossbench.prediction import key_of, spectra
from lossbench.recommendation import (
    Confirmed,
    Goal,
    Recommendation,
    Recommended,
    Trained,
    weights_at,
)
from lossbench.settings import AXES, FIXED, KEYS, RunSettings, Value
from lossbench.sweeping import Plan, Swept, plan, sweep
from lossbench.words import significant

FOLDER = Path("results") / "recommend"
TOLERANCE = 0.05  # of the KL
MOST_ROUNDS = 3
_WIDEST, _FEWEST = 8, 4  # weights a round
_SPAN = (0.5, 8.0)  # times the guess, in the first round: a KL is guessed too low
_BELOW_T_1 = 0.95
_FURTHER = 16.0  # how much further the next round goes where none bracketed the goal
_NARROWER = 0.25  # of the bracket to either side, in the next round
_DIGITS = 4  # of a weight: the same in every repetition
_UNIT = 0.5  # of an active unit: the mean over seeds rounds to the goal

CarryOut = Callable[[Plan], Swept]


@dataclass(frozen=True)
class _Question:
    """What is asked of every case: how to train weights, and what theory says of their KL."""

    goal: Goal
    n_weights: int
    train: Callable[[RunSettings, Sequence[float]], list[Trained]]
    predicted: Callable[[RunSettings, float], float]


def confirm(
    found: Recommendation,
    asked: Experiment,
    folder: Path,
    data_dir: Path | None = None,
    *,
    carry_out: CarryOut = sweep,
) -> Recommendation:
    """Return the recommendation with what training found, case by case.

    ``asked`` is the experiment that was asked about: its seeds and its training are taken.
    ``carry_out`` trains a plan. Errors are those of ``sweeping``.
    """
    resolved = asked.resolved(lambda name: data.native_sizes(name, data_dir))
    seeds = tuple(dict.fromkeys(seed for grid in asked.grids for seed in grid["seeds"]))

    def train(run: RunSettings, weights: Sequence[float]) -> list[Trained]:
        planned = plan(_experiment(resolved, run, weights, seeds), folder, data_dir)
        return _trained(carry_out(planned), planned, found.goal)

    known = spectra([case.predicted.run for case in found.cases], data_dir)

    def says(run: RunSettings, beta_eff: float) -> float:
        held = replace(run, beta_eff=beta_eff).final_beta_eff(resolved.n_images[run.dataset])
        return theory.predicted_kl(known[key_of(run)].thresholds, held, run.k)

    def of(case: Recommended) -> Confirmed:
        width = stacks([case.predicted.run])[0].width
        n_weights = max(_FEWEST, min(_WIDEST, width) // len(seeds))
        question = _Question(found.goal, n_weights, train, says)
        return _confirmed(case, resolved, folder, question)

    return replace(found, cases=tuple(replace(case, confirmed=of(case)) for case in found.cases))


def _experiment(
    asked: Experiment, run: RunSettings, weights: Sequence[float], seeds: tuple[Value, ...]
) -> Experiment:
    """Return the experiment of one round.

    Whatever is not a default stands in its grid, so that every question fits into one folder.
    """
    axes: dict[str, tuple[Value, ...]] = {}
    for name in (*AXES, *FIXED):
        value = getattr(run, KEYS[name].field)
        if name != "beta" and (name in AXES or value != FIXED[name]):
            axes[name] = (value,)
    axes |= {"beta_eff": tuple(weights), "seeds": seeds}
    return replace(asked, fixed=dict(FIXED), grids=(axes,))


def _trained(swept: Swept, planned: Plan, goal: Goal) -> list[Trained]:
    """Return what a round reached, a weight each; one without a run that ended well is left out."""
    table = swept.plan.store.runs().set_index("run_id")
    of_weight: dict[float, list[str]] = {}
    for run in planned.runs:
        if swept.statuses.get(run.run_id) == "ok":
            of_weight.setdefault(run.beta_eff, []).append(run.run_id)
    column = "kl" if goal.kind == "kl" else "active_units"
    return [
        Trained(
            beta_eff,
            float(table.loc[run_ids, column].mean()),
            float(table.loc[run_ids, "active_units"].mean()),
            tuple(run_ids),
        )
        for beta_eff, run_ids in of_weight.items()
    ]


def _confirmed(
    case: Recommended, asked: Experiment, folder: Path, question: _Question
) -> Confirmed:
    """Train around the guess of one case until the goal is met, or for so many rounds."""
    run, goal = case.predicted.run, question.goal
    tried: dict[float, Trained] = {}
    n_rounds = 0
    weights = _first(case, goal, question.n_weights)
    while weights and n_rounds < MOST_ROUNDS:
        tried |= {each.beta_eff: each for each in question.train(run, weights)}
        n_rounds += 1
        if not tried:
            raise RunsFailedError(
                "no run ended well, so nothing is confirmed",
                where=str(folder),
                remedy=f"lossbench show {folder}, then other training, such as a smaller "
                "--learning-rate",
            )
        in_order = tuple(tried[weight] for weight in sorted(tried))
        best = min(in_order, key=lambda each: abs(each.reached - _wanted(goal)))
        met = _is_met(best, goal)
        weights = () if met else _next(in_order, _wanted(goal), question.n_weights)
        if goal.kind == "no_collapse":
            break
    at_best = question.predicted(run, best.beta_eff)
    return Confirmed(
        met=met,
        best=best,
        weights=weights_at(
            best.beta_eff, asked, [replace(run, loss=weight.loss) for weight in case.weights]
        ),
        tried=in_order,
        n_rounds=n_rounds,
        epochs=run.epochs,
        folder=folder,
        reason="" if met else _reason(in_order, goal, run, question),
        predicted_kl=at_best if goal.kind == "kl" else None,
    )


def _wanted(goal: Goal) -> float:
    """Return what the runs shall reach: of no collapse, one active unit."""
    return 1.0 if goal.kind == "no_collapse" else goal.wanted


def _is_met(best: Trained, goal: Goal) -> bool:
    miss = best.reached - _wanted(goal)
    if goal.kind == "no_collapse":
        return miss > -_UNIT
    return abs(miss) <= (TOLERANCE * goal.wanted if goal.kind == "kl" else _UNIT)


def _spaced(low: float, high: float, n_weights: int) -> tuple[float, ...]:
    """Return weights from one to the other, each so many times the last."""
    weights = np.geomspace(low, high, n_weights)
    return tuple(dict.fromkeys(float(f"{weight:.{_DIGITS}g}") for weight in weights))


def _first(case: Recommended, goal: Goal, n_weights: int) -> tuple[float, ...]:
    """Return the weights of the first round: from below the guess to close to t_1."""
    guess, share = case.predicted.run.beta_eff, case.predicted.beta_eff_over_threshold
    if goal.kind == "no_collapse":
        return (guess,)
    below, above = _SPAN
    highest = min(above, _BELOW_T_1 / share) if share else above
    return _spaced(below * guess, max(highest, 1.0) * guess, n_weights)


def _next(in_order: Sequence[Trained], wanted: float, n_weights: int) -> tuple[float, ...]:
    """Return the weights of the next round: around where the goal lies between two of these.

    What is reached falls as the weight grows; where all have more, or less, it goes further.
    """
    lowest, highest = in_order[0], in_order[-1]
    if highest.reached >= wanted:
        return _spaced(highest.beta_eff, highest.beta_eff * _FURTHER, n_weights + 1)[1:]
    if lowest.reached < wanted:
        return _spaced(lowest.beta_eff / _FURTHER, lowest.beta_eff, n_weights + 1)[:-1]
    before, after = _bracket(in_order, wanted)
    left, right = math.log(before.beta_eff), math.log(after.beta_eff)
    share = (before.reached - wanted) / (before.reached - after.reached)
    middle, half = left + share * (right - left), _NARROWER * (right - left)
    weights = _spaced(
        math.exp(max(left, middle - half)), math.exp(min(right, middle + half)), n_weights
    )
    known = {each.beta_eff for each in in_order}
    return tuple(weight for weight in weights if weight not in known)


def _bracket(in_order: Sequence[Trained], wanted: float) -> tuple[Trained, Trained]:
    """Return the last weight that reached the goal, and the one after it, that did not."""
    place = max(number for number, each in enumerate(in_order) if each.reached >= wanted)
    return in_order[place], in_order[place + 1]


_SLOW = (
    "the network learns too slowly for this training: begin at a smaller weight "
    "(--kl-schedule far:0.3:0.1), or take a larger --learning-rate or more --epochs"
)


def _reason(in_order: Sequence[Trained], goal: Goal, run: RunSettings, question: _Question) -> str:
    """Return why no weight had the goal, and what to do."""

    def at(each: Trained) -> str:
        reached = significant(each.reached, 3)
        what = f"a KL of {reached} nats" if goal.kind == "kl" else f"{reached} active units"
        return f"{what} at beta_eff {significant(each.beta_eff)}"

    def is_slow(each: Trained) -> bool:
        return goal.kind == "kl" and each.reached < question.predicted(run, each.beta_eff)

    wanted, lowest, highest = _wanted(goal), in_order[0], in_order[-1]
    if goal.kind == "no_collapse":
        return f"below t_1, and no latent is active: {_SLOW}"
    if highest.reached >= wanted:
        return f"still {at(highest)}: theory's threshold does not hold for these images"
    if lowest.reached >= wanted:
        before, after = _bracket(in_order, wanted)
        why = "more --seeds make the mean smoother"
        return f"{at(before)} and {at(after)}, nothing between: {_SLOW if is_slow(after) else why}"
    if lowest.active_units > run.k - _UNIT:
        why = f"all {run.k} latents are active, so k is too small (--k {2 * run.k}), or the "
        why += "training too short (--epochs)"
    elif is_slow(lowest):
        why = f"theory says more, so {_SLOW}"
    else:
        why = "that is above the rate that this network finds in the data"
    return f"no more than {at(lowest)}: {why}"
