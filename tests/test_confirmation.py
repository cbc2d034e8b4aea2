"""A recommendation is held against training: until it is met, or why it is not."""

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from drill import train_here
from drill import train_stack as drilled

import lossbench
from lossbench import data, theory
from lossbench.errors import RunsFailedError, UsageError
from lossbench.loss import LIKELIHOODS
from lossbench.recommendation import Confirmed
from lossbench.run import Record
from lossbench.settings import RunSettings
from lossbench.store import Store

SPECTRUM = theory.thresholds(theory.moments(data.load("digits", 64).train), LIKELIHOODS["bce"])


def theory_of(run: RunSettings) -> float:
    """Return the KL that theory gives a run."""
    return theory.predicted_kl(SPECTRUM, run.beta_eff, run.k)


@pytest.fixture
def training(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., list[RunSettings]]:
    """Have runs reach what a function of their settings says; return those that were trained."""
    monkeypatch.chdir(tmp_path)
    train_here(monkeypatch)

    def reaching(
        kl: Callable[[RunSettings], float], active: Callable[[RunSettings], int] = lambda run: run.k
    ) -> list[RunSettings]:
        trained: list[RunSettings] = []

        def train(
            runs: Sequence[RunSettings], width: int, x: np.ndarray, y: np.ndarray
        ) -> list[Record]:
            trained.extend(runs)
            records = drilled(runs, width, x, y)
            return [
                replace(
                    record,
                    status="ok" if math.isfinite(kl(run)) else "nan",
                    metrics={**record.metrics, "kl": kl(run), "active_units": active(run)}
                    if math.isfinite(kl(run))
                    else {},
                )
                for record, run in zip(records, runs, strict=True)
            ]

        monkeypatch.setattr(sys.modules["lossbench.nn.train"], "train_stack", train)
        return trained

    return reaching


def confirmed(**asked: object) -> Confirmed:
    """Return what the training of one case found."""
    (case,) = lossbench.recommend(d=64, confirm=True, **asked).cases  # type: ignore[arg-type]
    assert case.confirmed is not None
    return case.confirmed


@pytest.mark.parametrize("wanted", [1, 3, 10])
@pytest.mark.parametrize("factor", [0.7, 1.0, 1.5, 4.0])
def test_the_weight_is_found_wherever_the_network_has_the_goal(
    training: Callable[..., list[RunSettings]], wanted: float, factor: float
) -> None:
    """It has the KL within 5%, its runs are in the folder, and asked again it trains nothing."""
    trained = training(lambda run: factor * theory_of(run))
    asked = {"kl": wanted, "k": 16, "loss": "docs,blog"}
    found = confirmed(**asked)
    assert found.met
    assert found.n_rounds <= 3
    assert found.best.reached == pytest.approx(wanted, rel=0.05)
    assert found.best.reached == pytest.approx(
        factor * theory.predicted_kl(SPECTRUM, found.best.beta_eff, 16)
    )
    blog, docs = found.weights
    assert docs.beta == pytest.approx(found.best.beta_eff)
    assert blog.beta == pytest.approx(found.best.beta_eff * 16 / 64)
    runs = Store(Path("results/recommend")).runs()
    assert {name for each in found.tried for name in each.runs} == set(runs["run_id"])
    assert len(trained) == len(runs)
    assert confirmed(**asked) == found
    assert len(trained) == len(runs)


def test_seeds_are_averaged(training: Callable[..., list[RunSettings]]) -> None:
    """The goal is that of the mean; every weight has a run a seed."""
    training(lambda run: theory_of(run) + 0.5 * (run.seed - 1))
    found = confirmed(kl=3, k=16, seeds=3)
    assert found.met
    assert all(len(each.runs) == 3 for each in found.tried)
    assert theory.predicted_kl(SPECTRUM, found.best.beta_eff, 16) == pytest.approx(3, rel=0.05)


def test_other_questions_fit_into_the_same_folder(
    training: Callable[..., list[RunSettings]],
) -> None:
    """Whatever they ask and however they train."""
    training(theory_of)
    for asked in ({}, {"epochs": 5}, {"hidden": "32", "k": 4}, {"learning_rate": 0.01}):
        assert confirmed(kl=3, **asked).met


UNMET: dict[str, tuple[Callable[[RunSettings], float], Callable[[RunSettings], int], str]] = {
    "learns too slowly": (lambda _: 0.0, lambda _: 0, "theory says more, so the network learns"),
    "k too small": (lambda _: 3.0, lambda run: run.k, "k is too small (--k 16)"),
    "above t_1": (lambda _: 8.0, lambda run: run.k, "theory's threshold does not hold"),
    "a jump": (
        lambda run: 9.0 if run.beta_eff < 0.4 else 0.0,
        lambda _: 4,
        "nothing between: the network learns too slowly",
    ),
    "a rough one": (
        lambda run: 9.0 if run.beta_eff < 0.9 else 4.7,
        lambda _: 4,
        "more --seeds",
    ),
}


@pytest.mark.parametrize(("kl", "active", "told"), UNMET.values(), ids=UNMET)
def test_a_goal_that_is_not_met_has_its_reason(
    training: Callable[..., list[RunSettings]],
    kl: Callable[[RunSettings], float],
    active: Callable[[RunSettings], int],
    told: str,
) -> None:
    """After three rounds at most, with what to do."""
    training(kl, active)
    found = confirmed(kl=5.7, k=8)
    assert not found.met
    assert found.n_rounds <= 3
    assert told in found.reason


def test_no_rate_is_told_where_theory_promises_less(
    training: Callable[..., list[RunSettings]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither slow nor short of latents: the data has no more."""
    training(lambda _: 3.0, lambda _: 4)
    monkeypatch.setattr(theory, "predicted_kl", lambda *_: 1.0)
    assert "above the rate" in confirmed(kl=5.7, k=8).reason


def test_active_units_are_counted(training: Callable[..., list[RunSettings]]) -> None:
    """Around the guess until the mean rounds to the goal."""
    training(theory_of, lambda run: max(0, int((2 * run.beta_eff < SPECTRUM).sum())))
    found = confirmed(active=6, k=16)
    assert found.met
    assert found.best.active_units == 6
    assert found.predicted_kl is None


@pytest.mark.parametrize(("n_active", "met"), [(2, True), (0, False)])
def test_no_collapse_is_looked_at_once(
    training: Callable[..., list[RunSettings]], n_active: int, met: bool
) -> None:
    """At the weight that is recommended; what collapsed there learns too slowly."""
    trained = training(theory_of, lambda _: n_active)
    found = confirmed(no_collapse=True)
    assert (found.met, found.n_rounds, len(trained)) == (met, 1, 1)
    assert ("learns too slowly" in found.reason) == (not met)


def test_what_turns_non_finite_confirms_nothing(
    training: Callable[..., list[RunSettings]],
) -> None:
    """Weights that fail are left out; where all do, that is the error."""
    training(lambda run: math.nan if run.beta_eff > 1 else theory_of(run))
    found = confirmed(kl=3, k=8)
    assert found.met
    assert max(each.beta_eff for each in found.tried) <= 1
    training(lambda _: math.nan)
    with pytest.raises(RunsFailedError, match="no run ended well"):
        confirmed(kl=3, k=8, epochs=7)


def test_the_page_tells_what_was_found(training: Callable[..., list[RunSettings]]) -> None:
    """The answer, its runs, and where they are; or why there is none."""
    training(theory_of)
    told = str(lossbench.recommend(kl=3, k=8, d=64, confirm=True))
    assert "Confirmed at beta_eff" in told
    assert "results/recommend" in told
    training(lambda _: 0.0)
    assert "Not reached: " in str(lossbench.recommend(kl=3, k=8, d=64, confirm=True, epochs=3))
    active = str(lossbench.recommend(active=8, k=8, d=64, confirm=True, epochs=4))
    assert "a KL of" not in active


def test_a_folder_without_training_is_refused() -> None:
    """It would stay empty."""
    with pytest.raises(UsageError, match="where confirm trains"):
        lossbench.recommend(kl=3, out="somewhere")


@pytest.mark.slow
@pytest.mark.parametrize(("dataset", "wanted"), [("digits", 3), ("digits", 10), ("patches", 1)])
def test_a_real_network_has_the_goal_in_three_rounds(
    tmp_path: Path, wanted: float, dataset: str
) -> None:
    """With lossbench's own training, on grey digits and on patches."""
    found = confirmed(kl=wanted, dataset=dataset, out=tmp_path / "out")
    assert found.met, found.reason
    assert found.n_rounds <= 3
