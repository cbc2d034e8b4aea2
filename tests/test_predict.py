"""The prediction: from data and settings alone, and the same for equal beta_eff."""

import io
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from lossbench import data, theory
from lossbench.cli import main
from lossbench.console.prediction import prediction_tables
from lossbench.experiment import read
from lossbench.loss import LIKELIHOODS, catalogue
from lossbench.prediction import Prediction, agreement, predict

TRAINABLE = sorted(
    name
    for name, entry in catalogue().items()
    if entry.is_plain and name != "irmae-vae-2021"  # it has no KL term
)


def predicted(**options: str) -> Prediction:
    """Return the prediction for the default experiment with options in place of its keys."""
    return predict(read(None, options))


def test_a_loss_collapses_from_its_critical_beta() -> None:
    """The blog's is t_1 * k/d, another one for each k; the documentation's is t_1 at any k."""
    prediction = predicted(d="64", k="19,20", beta="0.5,1", reconstruction_loss="bce")
    (thresholds,) = prediction.thresholds
    t_1 = thresholds.largest[0]
    critical = {(each.loss, each.k): each.beta for each in thresholds.critical}
    expected = {("blog", 19): t_1 * 19 / 64, ("blog", 20): t_1 * 20 / 64, ("docs", None): t_1}
    assert critical == pytest.approx(expected)
    for setting in prediction.settings:
        run = setting.run
        beta = critical[run.loss, run.k if run.loss == "blog" else None]
        assert setting.collapses == (beta is not None and run.beta >= beta)


def test_a_loss_without_a_kl_term_collapses_at_no_beta() -> None:
    """There is no weight to raise."""
    prediction = predicted(d="64", k="2", loss="irmae-vae-2021", reconstruction_loss="bce")
    assert prediction.thresholds[0].critical[0].beta is None


def test_only_the_linear_model_has_a_closed_form() -> None:
    """For mse and linear layers KL, reconstruction and ELBO are those of theory; else unknown."""
    prediction = predicted(
        d="64", k="16", beta="0.2", loss="docs", hidden="64,linear", reconstruction_loss="mse,bce"
    )
    known = [setting for setting in prediction.settings if setting.elbo is not None]
    assert [setting.run.reconstruction_loss for setting in known] == ["mse"]
    thresholds = theory.thresholds(
        theory.moments(data.load("digits", 64).train), LIKELIHOODS["mse"]
    )
    optimum = theory.linear_optimum(thresholds, 0.2, 16)
    assert (known[0].kl, known[0].reconstruction) == (optimum.kl, optimum.reconstruction)
    assert known[0].predicted_active_units == optimum.active_units


@pytest.mark.parametrize("noise_std", [0.1, 0.5, 2.0])
def test_the_noise_moves_every_threshold(noise_std: float) -> None:
    """With noise multiplied by s a threshold is t/s^2."""
    options = {"d": "64", "k": "2", "beta": "1", "loss": "docs", "reconstruction_loss": "bce"}
    (plain,) = predicted(**options).settings
    (moved,) = predicted(**options, noise_std=str(noise_std)).settings
    assert moved.threshold == pytest.approx(plain.threshold / noise_std**2)


@settings(max_examples=40, deadline=None)
@given(
    losses=st.lists(st.sampled_from(TRAINABLE), min_size=2, max_size=6, unique=True),
    beta_eff=st.floats(min_value=0.01, max_value=50),
    k=st.integers(min_value=1, max_value=20),
)
def test_equal_beta_eff_has_equal_predictions(losses: list[str], beta_eff: float, k: int) -> None:
    """Whatever the convention, beta_eff decides."""
    prediction = predicted(
        loss=",".join(losses), beta_eff=f"{beta_eff:.6g}", k=str(k), d="16", hidden="linear"
    )
    for kind in ("bce", "mse"):
        facts = {
            (s.threshold, s.predicted_active_units, s.kl, s.reconstruction, s.elbo)
            for s in prediction.settings
            if s.run.reconstruction_loss == kind
        }
        assert len(facts) == 1
    assert len(prediction.settings) == 2 * len(losses)


def test_agreement_counts_only_where_the_prediction_could_be_wrong() -> None:
    """Settings with none or all of the latents predicted say nothing."""
    table = pd.DataFrame(
        {
            "k": [4, 4, 4, 4, 4, 4],
            "predicted_active_units": [0, 4, 2, 2, 2, 2],
            "active_units": [0.0, 4.0, 2.0, 1.0, 0.0, np.nan],
        }
    )
    held = agreement(table)
    assert (held.n_settings, held.n_equal, held.n_within_one) == (3, 1, 2)


def test_the_command_prints_tables_and_json(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sentence about the critical weight, and the same facts as JSON."""
    options = ["--d", "64", "--k", "2", "--beta", "1", "--reconstruction-loss", "bce"]
    for extra in ([], ["--json"]):
        monkeypatch.setattr(sys, "argv", ["lossbench", "predict", *options, *extra])
        with pytest.raises(SystemExit) as stop:
            main()
        assert not stop.value.code
    text, _, rest = capsys.readouterr().out.partition("{")
    assert "blog collapses from beta 0.1038 on at k 2" in text
    facts = json.loads("{" + rest)
    assert [s["predicted_active_units"] for s in facts["settings"]] == [0, 2]


def test_a_threshold_that_rests_on_few_or_skewed_images_is_told(tmp_path: Path) -> None:
    """One image that lights its own pixel; a pixel that is lit in one image of thirty."""
    generator = np.random.default_rng(0)
    told = {}
    for name, share in (("plain", 0.5), ("skewed", 1 / 30), ("alone", 1 / 1000)):
        images = 0.5 + 0.05 * generator.random((2000, 6))
        images[:, 3] = 0
        images[: round(2000 * share), 3] = 1
        np.savez(tmp_path / f"{name}.npz", x_train=images.astype("f4"), x_test=images.astype("f4"))
        found = predicted(
            dataset=str(tmp_path / f"{name}.npz"),
            d="6",
            k="1",
            loss="docs",
            reconstruction_loss="mse",
            beta="0.01,1",
        )
        console = Console(width=200, file=io.StringIO(), record=True)
        console.print(prediction_tables(found, console))
        told[name] = console.export_text()
        assert [each.kl_guess is not None for each in found.settings] == [True, True]
    assert ("no verdict" in told["plain"], "skewed along" in told["plain"]) == (False, False)
    assert ("no verdict" in told["skewed"], "skewed along" in told["skewed"]) == (False, True)
    assert "t_1 lives on about 2 of 2,000 images: it is no verdict on the others" in told["alone"]


def test_a_guess_of_the_kl_is_the_closed_form_of_the_linear_model() -> None:
    """It is told apart from what is exact, and there is none where the noise is not 1."""
    options = {"d": "64", "k": "4", "loss": "docs", "beta": "0.5", "reconstruction_loss": "mse"}
    linear, dense = predicted(hidden="linear,64", **options).settings
    assert (linear.kl_guess, dense.kl) == (None, None)
    assert dense.kl_guess == linear.kl
    assert linear.beta_eff_over_threshold == 0.5 / linear.threshold
    (noisy,) = predicted(hidden="64", noise_std="0.5", **options).settings
    assert (noisy.kl, noisy.kl_guess) == (None, None)


def test_at_a_threshold_of_0_every_weight_collapses(tmp_path: Path) -> None:
    """beta_eff/t_1 is then empty."""
    path = tmp_path / "one.csv"
    path.write_text("a,b\n" + "".join(f"{n},0\n" for n in (3, 2, 5, 1, 4, 9)))
    asked = {"dataset": str(path), "scale": "none", "reconstruction_loss": "multinomial"}
    for each in predicted(**asked, d="2", loss="docs", beta="0.1").settings:
        assert (each.threshold, each.beta_eff_over_threshold, each.collapses) == (0, None, True)
