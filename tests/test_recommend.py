"""The recommendation: the weight has its goal by theory, in every convention alike."""

import csv
import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lossbench
from lossbench import theory
from lossbench.cli import main
from lossbench.data import load
from lossbench.errors import DataError, UsageError
from lossbench.loss import Gaussian, Sizes, catalogue, convention
from lossbench.recommendation import GOALS, Recommended
from lossbench.words import plain

TRAINABLE = sorted(
    name
    for name, entry in catalogue().items()
    # One has no KL term; others a schedule, a floor or an estimator of their own.
    if entry.is_plain and name != "irmae-vae-2021"
)
SPECTRA = st.lists(st.floats(min_value=1e-3, max_value=1e3), min_size=1, max_size=30).map(
    lambda values: np.array(sorted(values, reverse=True))
)


def only(**asked: object) -> Recommended:
    """Return the recommendation for the one case that is asked about."""
    (case,) = lossbench.recommend(**asked).cases  # type: ignore[arg-type]
    return case


@given(spectrum=SPECTRA, kl=st.floats(min_value=1e-3, max_value=100), k=st.integers(1, 40))
@settings(max_examples=300, deadline=None)
def test_the_weight_of_a_kl_has_that_kl(spectrum: np.ndarray, kl: float, k: int) -> None:
    """Whatever the thresholds, and however many latents."""
    beta_eff = theory.beta_eff_of_kl(spectrum, kl, k)
    assert 0 < beta_eff < spectrum[0]
    assert theory.predicted_kl(spectrum, beta_eff, k) == pytest.approx(kl, rel=1e-9, abs=1e-12)


@given(spectrum=SPECTRA, share=st.floats(min_value=0.01, max_value=1.5), k=st.integers(1, 40))
def test_the_latents_carry_the_whole_kl(spectrum: np.ndarray, share: float, k: int) -> None:
    """What theory gives each of them adds up, and there are k."""
    beta_eff = share * float(spectrum[0])
    given = theory.carried(spectrum, beta_eff, k)
    assert len(given) == k
    assert sum(given) == pytest.approx(theory.predicted_kl(spectrum, beta_eff, k), abs=1e-12)


@pytest.mark.parametrize("kl", [0.5, 3.0, 10.0])
@pytest.mark.parametrize("kind", ["bce", "mse", "gaussian"])
def test_a_kl_comes_with_what_predict_says_there(kl: float, kind: str) -> None:
    """Handed to ``predict`` it has the KL of the goal, exactly for a linear model with mse."""
    found = only(kl=kl, d=64, k=8, hidden="linear", reconstruction_loss=kind)
    told = lossbench.predict(
        loss="docs", d=64, k=8, hidden="linear", reconstruction_loss=kind, beta=found.beta_eff
    ).settings[0]
    assert found.predicted == told
    reached = told.kl_guess if kind == "bce" else told.kl
    assert reached == pytest.approx(kl, rel=1e-9)
    assert found.holds == ("guess" if kind == "bce" else "exact")
    assert (told.reconstruction is None) == (kind == "bce")


@pytest.mark.parametrize("n_active", [1, 3, 8])
def test_active_units_change_on_both_sides_of_the_interval(n_active: int) -> None:
    """Inside it there are as many as asked for; at its upper end one less, below it one more."""
    found = only(active=n_active, d=64, k=16)
    assert found.predicted.predicted_active_units == n_active
    assert found.lowest is not None
    assert found.highest is not None
    assert found.lowest < found.beta_eff < found.highest
    for weight, n in ((found.lowest, 0), (found.lowest * (1 - 1e-9), 1), (found.highest, -1)):
        told = lossbench.predict(
            loss="docs", d=64, k=16, beta_eff=repr(weight), reconstruction_loss="bce"
        ).settings[0]
        assert told.predicted_active_units == n_active + n


@pytest.mark.parametrize(("margin", "share"), [(None, 0.5), (1.25, 0.8)])
@pytest.mark.parametrize("noise_std", [1.0, 0.5])
def test_no_collapse_stays_below_the_threshold(
    margin: float | None, share: float, noise_std: float
) -> None:
    """By the margin, whatever the noise."""
    found = only(no_collapse=True, margin=margin, noise_std=noise_std)
    assert found.predicted.beta_eff_over_threshold == pytest.approx(share)
    assert not found.predicted.collapses
    assert any("far:" in note for note in found.notes) == (share > 0.5)


def test_the_convention_changes_the_number_and_nothing_else() -> None:
    """Each number inverts to the one beta_eff, and the code has the convention's coefficients."""
    found = only(kl=3, d=64, k=8, loss=TRAINABLE)
    sizes = Sizes(d=64, k=8, batch_size=128, n_images=1437)
    assert {weight.loss for weight in found.weights} == set(TRAINABLE)
    rng = np.random.default_rng(0)
    r, kl = rng.random((128, 64)), rng.random((128, 8))
    for weight in found.weights:
        loss = convention(weight.loss)
        beta_eff = loss.coefficients(sizes, weight.beta).beta_eff
        assert float(beta_eff) == pytest.approx(found.beta_eff, rel=1e-9)
        assert weight.written == pytest.approx(weight.beta * float(loss.default_beta))
        names = {"r": r, "kl": kl, "loss": math.nan}
        scope: dict[str, object] = {**names, "mean": np.mean, "sum": np.sum}
        exec(weight.code, scope)  # noqa: S102 - a line of our own
        expected = weight.a * r.sum(axis=1).mean() + weight.b * kl.sum(axis=1).mean()
        assert scope["loss"] == pytest.approx(expected, rel=1e-4)


def test_auto_takes_the_latents_that_carry_something() -> None:
    """One latent less cannot have the goal at this weight, one more would have nothing to say."""
    found = only(kl=10, d=64, k="auto")
    k = found.predicted.run.k
    assert found.useful_k == k == found.predicted.predicted_active_units
    more = only(kl=10, d=64, k=k + 1)
    assert more.beta_eff == pytest.approx(found.beta_eff)
    assert more.predicted.predicted_active_units == k
    assert only(kl=10, d=64, k=k - 1).beta_eff < found.beta_eff


def test_bits_are_nats_of_another_size() -> None:
    """14 bits are 14 ln 2 nats."""
    bits, nats = only(rate_bits=14), only(kl=14 * math.log(2))
    assert bits.beta_eff == nats.beta_eff


def test_a_schedule_has_the_weight_at_its_end() -> None:
    """What is written is larger by what the schedule leaves out."""
    constant, moving = only(kl=3), only(kl=3, kl_schedule="linear:800epochs", epochs=800)
    assert moving.beta_eff == constant.beta_eff
    assert moving.weights[0].beta * moving.predicted.run.schedule.last_weight(
        *moving.predicted.run.steps(1437)
    ) == pytest.approx(constant.beta_eff)


def test_a_file_asks_about_all_its_cases(tmp_path: Path) -> None:
    """Every data set, size and likelihood once, whatever weights it has."""
    file = tmp_path / "mine.toml"
    file.write_text(
        '[sweep]\nloss = ["docs", "blog"]\nd = [16, 64]\nk = 4\nbeta = [1, 2]\nseeds = 2\n'
        'reconstruction_loss = ["bce", "mse"]\n'
    )
    found = lossbench.recommend(file, no_collapse=True)
    assert len(found.cases) == 4
    assert [len(case.weights) for case in found.cases] == [2] * 4
    assert len(found.to_frame()) == 8
    assert found.cases[0].predicted.run.k == 4


def skewed(folder: Path, n_carrying: int) -> str:
    """Return data that most examples share: only so many of 400 are another."""
    x = np.random.default_rng(0).random((400, 6)) * 0.05
    x[np.random.default_rng(1).permutation(400)[:n_carrying]] += 0.9
    np.save(folder / "skewed.npy", x.astype(np.float32))
    return str(folder / "skewed.npy")


def test_the_verdict_is_that_of_predict(tmp_path: Path) -> None:
    """Skewed along t_1, or carried by a few: no verdict, in predict's words; exact if linear."""
    for n_carrying, word in ((10, "t_1 lives on about"), (60, "are skewed along t_1")):
        asked = {"dataset": skewed(tmp_path, n_carrying), "reconstruction_loss": "mse"}
        found = only(**asked, no_collapse=True, batch_size=32)
        assert found.holds == "no verdict"
        assert any(word in note for note in found.notes)
        assert only(**asked, no_collapse=True, batch_size=32, hidden="linear").holds == "exact"


REFUSED = {
    "no goal": ({}, "active N"),
    "two goals": ({"kl": 3, "active": 2}, "--kl and --active"),
    "a weight": ({"kl": 3, "beta": 1}, "the weight is what is asked for"),
    "a KL of 0": ({"kl": 0}, "above 0"),
    "no number": ({"kl": "3"}, "is no number"),
    "a margin of 1": ({"no_collapse": True, "margin": 1}, "above 1"),
    "a margin of nothing": ({"kl": 3, "margin": 2}, "no_collapse"),
    "few latents": ({"kl": 50, "k": 2}, "k=8 or more"),
    "no such rate": ({"kl": 5000, "k": 64}, "the data has no such rate"),
    "fewer than active": ({"active": 8, "k": 2}, "k=8"),
    "few directions": ({"active": 65}, "fewer directions"),
    "no threshold": ({"kl": 3, "reconstruction_loss": "laplace"}, "no curvature at the median"),
    "noise": ({"kl": 3, "noise_std": 0.5}, "unit noise only"),
    "no KL term": ({"kl": 3, "loss": "irmae-vae-2021"}, "it has no KL term"),
}


@pytest.mark.parametrize(("asked", "told"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_had_is_refused_with_its_reason(asked: dict[str, object], told: str) -> None:
    """The reason, and what to do instead."""
    with pytest.raises(UsageError) as caught:
        only(**asked)
    assert told in str(caught.value)


def test_data_that_does_not_vary_has_no_weight(tmp_path: Path) -> None:
    """It is refused as everywhere."""
    np.save(tmp_path / "one.npy", np.full((9, 4), 0.5, np.float32))
    with pytest.raises(DataError):
        only(dataset=str(tmp_path / "one.npy"), kl=1)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Run the command in this process; return its exit code, stdout and stderr."""
    sys.argv = ["lossbench", "recommend", *arguments]
    with pytest.raises(SystemExit) as stop:
        main()
    return int(stop.value.code or 0), *capsys.readouterr()


def test_the_command_prints_what_the_function_returns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number, the line of code, the goals without one, and JSON."""
    monkeypatch.setattr(sys, "argv", [])
    asked = ("--kl", "3", "--k", "8", "--loss", "docs,keras-io-2020")
    found = lossbench.recommend(kl=3, k=8, loss="docs,keras-io-2020")
    code, out, _ = run(capsys, *asked)
    assert code == 0
    assert out.split() == str(found).split()
    for weight in found.cases[0].weights:
        assert f"{weight.loss}: beta = {weight.beta:.6g}" in out
        assert weight.code in out
    code, out, _ = run(capsys, *asked, "--json")
    assert code == 0
    assert json.loads(out) == plain(found)
    code, out, err = run(capsys)
    assert (code, out) == (2, "")
    assert all(words in err for words in GOALS.values())


@pytest.mark.parametrize("sigma", ["learned", "optimal"])
@pytest.mark.parametrize("k", [2, 8, 30])
def test_the_weight_of_a_learned_sigma_has_the_goal_at_its_own_optimum(sigma: str, k: int) -> None:
    """The self-consistent optimum at the recommended weight has the KL, or so many active."""
    asked = {"dataset": "digits", "d": 64, "reconstruction_loss": "gaussian", "sigma": sigma}
    asked |= {"hidden": "linear", "k": k, "loss": "docs"}
    train = load("digits", 64).train
    moments = theory.moments(train)
    kind = Gaussian(sigma=sigma)  # type: ignore[arg-type]
    known = theory.thresholds(moments, kind)
    variance = float(moments.covariance.diagonal().mean())

    def optimum(beta_eff: float) -> theory.LinearOptimum:
        found = theory.shared_sigma_optimum(known, variance, 64, beta_eff, k)
        assert found is not None
        return found

    for nats in (0.3, 2.0, 6.0):
        case = only(kl=nats, **asked)
        assert optimum(case.beta_eff).kl == pytest.approx(nats, rel=1e-4)
        assert case.predicted.sigma == pytest.approx(optimum(case.beta_eff).sigma, rel=1e-6)
    case = only(active=2, **asked)
    assert case.lowest is not None
    assert case.highest is not None
    for beta_eff, active in (
        (case.beta_eff, 2),
        (case.lowest * 1.001, 2),
        (case.highest * 0.999, 2),
        (case.highest * 1.001, 1),
        *([(case.lowest * 0.999, 3)] if k > 2 else []),
    ):
        assert optimum(beta_eff).active_units == active


def test_the_table_of_the_readme_is_that_of_the_experiment() -> None:
    """Row by row, and every goal was met on the seed that confirmed it."""
    repository = Path(__file__).parent.parent
    readme = (repository / "README.md").read_text(encoding="utf-8")
    with (repository / "results" / "recommend.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 9
    for row in rows:
        told = [row[name] for name in ("goal", "k", "guess", "docs", "keras-io-2020", "reached")]
        told += [f"{row['other_seeds']} ± {row['half_range']}", row["rounds"], row["seconds"]]
        assert f"| {' | '.join(told)} |" in readme
        assert float(row["reached"]) == pytest.approx(float(row["goal"]), rel=0.05)
