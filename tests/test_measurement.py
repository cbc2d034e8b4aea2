"""A trained model of any library is measured: against formulas, scipy and PyTorch's own numbers."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import bernoulli, laplace, norm
from test_cli import run as cli

from lossbench import theory
from lossbench.errors import UsageError
from lossbench.loss import LIKELIHOODS
from lossbench.measurement import measure

N, D, K = 60, 5, 4
Arrays = dict[str, Any]


def drawn(seed: int = 0, *, binary: bool = False) -> Arrays:
    """Return arrays of a model of which two latents carry something and two do not."""
    generator = np.random.default_rng(seed)
    x = generator.random((N, D))
    z_mean, z_log_var = np.zeros((N, K)), np.zeros((N, K))
    z_mean[:, 1], z_mean[:, 3] = 2 * generator.standard_normal(N), generator.standard_normal(N)
    z_log_var[:, 1], z_log_var[:, 3] = -3, -1
    x_hat = np.clip(x + 0.1 * generator.standard_normal((N, D)), 0.05, 0.95)
    return {
        "x": np.round(x) if binary else x,
        "x_hat": x_hat,
        "z_mean": z_mean,
        "z_log_var": z_log_var,
    }


def test_the_elbo_is_that_of_the_densities() -> None:
    """R is -log p(x|z) of scipy, for mse without the constant of a variance of 1/2."""
    arrays = drawn(binary=True)
    coins = measure(**arrays, reconstruction_loss="bce")
    assert not any("no likelihood" in note for note in coins.notes)
    grey = measure(**drawn(), reconstruction_loss="bce")
    assert any("no likelihood" in note for note in grey.notes)
    expected = -bernoulli.logpmf(arrays["x"], arrays["x_hat"]).sum(axis=1).mean()
    assert coins.reconstruction == pytest.approx(expected)
    arrays = drawn()
    normal = measure(**arrays, reconstruction_loss="mse")
    log_density = norm.logpdf(arrays["x"], arrays["x_hat"], np.sqrt(0.5)).sum(axis=1).mean()
    assert normal.elbo == pytest.approx(log_density - normal.kl)
    assert normal.bits_per_dim == pytest.approx(-normal.elbo / D / np.log(2))


def test_the_kl_is_that_of_samples() -> None:
    """Each latent's KL is the mean of log q(z|x) - log p(z), and the largest comes first."""
    arrays = drawn()
    measured = measure(**arrays, reconstruction_loss="mse")
    assert [latent.latent for latent in measured.latents][:2] == [1, 3]
    mean, std = arrays["z_mean"], np.exp(arrays["z_log_var"] / 2)
    z = mean + std * np.random.default_rng(1).standard_normal((4_000, N, K))
    sampled = (norm.logpdf(z, mean, std) - norm.logpdf(z)).mean(axis=(0, 1))
    for latent in measured.latents:
        assert latent.kl == pytest.approx(sampled[latent.latent], abs=0.01)
    assert measured.kl == pytest.approx(sampled.sum(), abs=0.02)
    assert [latent.active for latent in measured.latents] == [True, True, False, False]
    assert measured.active_units == 2
    assert not measured.collapsed


def test_nothing_is_the_best_constant() -> None:
    """No constant image has a smaller R than R_0, and the mean image has just that."""
    arrays = drawn()
    for kind in ("bce", "mse"):
        measured = measure(**arrays, reconstruction_loss=kind)
        constants = [arrays["x"].mean(axis=0), *np.random.default_rng(2).random((50, D))]
        costs = [
            measure(
                **arrays | {"x_hat": np.tile(constant, (N, 1))}, reconstruction_loss=kind
            ).reconstruction
            for constant in constants
        ]
        assert costs[0] == pytest.approx(measured.reconstruction_of_nothing)
        assert min(costs) == costs[0]
        assert measured.thresholds == tuple(
            theory.thresholds(theory.moments(arrays["x"]), LIKELIHOODS[kind])
        )


def test_certain_zeros_cost_nothing_where_they_are_right() -> None:
    """0 ln 0 is 0; a certain probability that is wrong counts as 1e-7, and that is told."""
    arrays = drawn(binary=True)
    right = measure(**arrays | {"x_hat": arrays["x"]}, reconstruction_loss="bce")
    assert right.reconstruction == 0
    assert not any("certain" in note for note in right.notes)
    wrong = measure(**arrays | {"x_hat": 1 - arrays["x"]}, reconstruction_loss="bce")
    assert wrong.reconstruction == pytest.approx(-D * np.log(1e-7))
    assert any(f"{N * D} values of x_hat are certain" in note for note in wrong.notes)


@pytest.mark.slow
@pytest.mark.parametrize("library", ["pytorch", "jax"])
def test_a_model_of_another_library_is_measured_as_it_measures_itself(library: str) -> None:
    """Its tensors come in as they are, gradients and all; below t_1 it is active."""
    folder = Path(sys.prefix) / "jax"
    assert folder.is_dir(), "make test installs JAX there"
    program = Path(__file__).parent / "measured" / f"{library}_vae.py"
    answer = subprocess.run(
        [sys.executable, str(program)],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | ({"PYTHONPATH": str(folder)} if library == "jax" else {}),
    )
    told = json.loads(answer.stdout)
    measured = told["measured"]
    assert measured["reconstruction"] == pytest.approx(told["reconstruction"], rel=1e-5)
    assert measured["kl"] == pytest.approx(told["kl"], rel=1e-5)
    assert measured["active_units"] > 0
    assert measured["beta_eff_over_threshold"] < 1
    assert any("below R_0" in sentence for sentence in measured["sentences"])


@pytest.mark.parametrize("kind", ["float16", "float32", "list"])
def test_arrays_of_few_digits_and_lists_are_taken(kind: str) -> None:
    """They are reckoned with in double precision."""
    arrays = drawn()
    other = {
        name: array.tolist() if kind == "list" else array.astype(kind)
        for name, array in arrays.items()
    }
    measured = measure(**other, reconstruction_loss="bce")
    assert measured.elbo == pytest.approx(
        measure(**arrays, reconstruction_loss="bce").elbo, rel=1e-3
    )


REFUSED = {
    "x_hat of another shape": ({"x_hat": np.ones((N, D + 1))}, "x_hat"),
    "too few latents": ({"z_log_var": np.zeros((N, K - 1))}, "z_log_var"),
    "other examples": ({"z_mean": np.zeros((N - 1, K))}, "z_mean"),
    "NaN": ({"z_mean": np.full((N, K), np.nan)}, "not finite"),
    "logits": ({"x_hat": np.full((N, D), 3.0)}, "sigmoid(x_hat)"),
    "one example": ({n: a[:1] for n, a in drawn().items()}, "one example"),
    "an absurd log variance": ({"z_log_var": np.full((N, K), 2000.0)}, "no log variance"),
    "empty": ({"x": np.zeros((0, D))}, "`x` has no rows"),
    "ragged rows": ({"x": [[0.1] * D, [0.2]]}, "no array of numbers"),
    "ragged images": ({"x_hat": [[0.1] * D, [0.2]]}, "no array of numbers"),
    "words": ({"x": [["a"] * D] * N}, "no array of numbers"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_named(name: str) -> None:
    """The array, what was expected and what came."""
    other, told = REFUSED[name]
    with pytest.raises(UsageError, match=r"(?s).*") as refused:
        measure(**drawn() | other, reconstruction_loss="bce")
    assert told in str(refused.value)
    assert "received" in str(refused.value)


@pytest.mark.parametrize(
    ("beyond", "shown", "remedy"),
    [(1e-7, "1.0000001", "rounding"), (1e-3, "1.001", "sigmoid(x_hat)")],
)
def test_a_value_beyond_its_bound_is_shown_beyond_it(
    beyond: float, shown: str, remedy: str
) -> None:
    """With as many digits as that takes; what is within 1e-6 is rounding, and no logit."""
    arrays = drawn()
    arrays["x_hat"][0, 0] = 1 + beyond
    with pytest.raises(UsageError) as refused:
        measure(**arrays, reconstruction_loss="bce")
    assert f" to {shown}\n" in str(refused.value)
    assert remedy in refused.value.remedy


def test_swapped_arrays_are_asked_about() -> None:
    """Data is 0 and 1 where a decoder is not; a decoder that is as certain as data is no swap."""
    arrays = drawn(binary=True)
    swapped = arrays | {"x": arrays["x_hat"], "x_hat": arrays["x"]}
    notes = measure(**swapped, reconstruction_loss="bce").notes
    assert any("Are x and x_hat swapped? If not, decode in float32" in note for note in notes)
    wrong = measure(**arrays | {"x_hat": 1 - arrays["x"]}, reconstruction_loss="bce")
    assert not any("swapped" in note for note in wrong.notes)


@pytest.mark.parametrize(("of_x", "of_x_hat"), [(255, 1), (1, 255), (255, 255)])
def test_two_scales_are_told(of_x: float, of_x_hat: float) -> None:
    """Pixels from 0 to 255 against a reconstruction from 0 to 1, or the other way round."""
    arrays = drawn()
    scaled = arrays | {"x": of_x * arrays["x"], "x_hat": of_x_hat * arrays["x_hat"]}
    notes = measure(**scaled, reconstruction_loss="mse").notes
    assert any("bring both to one scale" in note for note in notes) == (of_x != of_x_hat)


def test_a_standard_deviation_in_place_of_a_log_variance_is_told() -> None:
    """It is above 0 throughout, as no trained log variance is; nothing is guessed."""
    arrays = drawn()
    deviations = np.exp(arrays["z_log_var"] / 2)
    notes = measure(**arrays | {"z_log_var": deviations}, reconstruction_loss="mse").notes
    assert any("2*log" in note for note in notes)
    assert not any("2*log" in note for note in measure(**arrays, reconstruction_loss="mse").notes)


def test_the_weight_is_held_against_the_threshold() -> None:
    """Collapsed below t_1 it ended too early; at t_1 the objective asks for it."""
    arrays = drawn() | {"z_mean": np.zeros((N, K)), "z_log_var": np.zeros((N, K))}
    (t_1, *_) = measure(**arrays, reconstruction_loss="mse").thresholds
    for ratio, told in (
        (0.5, "ended too early"),
        (1.0, "collapsed solution is stable"),
        (2.0, "is stable"),
    ):
        measured = measure(**arrays, reconstruction_loss="mse", beta_eff=ratio * t_1)
        assert measured.collapsed
        assert any(told in sentence for sentence in measured.sentences())


def test_the_command_says_what_the_function_says(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """In words, and as JSON; a file without an array is refused by its name."""
    arrays, file = drawn(), tmp_path / "mine.npz"
    np.savez(file, **arrays)
    measured = measure(**arrays, reconstruction_loss="mse")
    code, out, _ = cli(capsys, "measure", str(file), "--reconstruction-loss", "mse")
    assert code == 0
    assert all(sentence in " ".join(out.split()) for sentence in measured.sentences())
    code, out, _ = cli(capsys, "measure", str(file), "--reconstruction-loss", "mse", "--json")
    assert json.loads(out)["kl"] == measured.kl
    np.savez(file, x=arrays["x"])
    code, _, err = cli(capsys, "measure", str(file), "--reconstruction-loss", "mse")
    assert code == 2
    assert "no array x_hat, z_mean, z_log_var" in err


def test_where_r_0_and_t_1_are_0_no_ratio_is_told() -> None:
    """Counts whose shares never vary: nothing is left to reconstruct or to encode."""
    x, x_hat = np.array([[3.0, 0], [2, 0], [5, 0]]), np.array([[1.0, 0]] * 3)
    z = np.zeros((3, 1))
    found = measure(x, x_hat, z, z, reconstruction_loss="multinomial", beta_eff=1)
    assert (found.threshold, found.beta_eff_over_threshold) == (0, None)
    assert "nan" not in " ".join(found.sentences())


@pytest.mark.parametrize("shape", [(), (D,), (N, 1), (N, D)])
@pytest.mark.parametrize("kind", ["gaussian", "laplace"])
def test_a_sigma_is_a_number_or_an_array(kind: str, shape: tuple[int, ...]) -> None:
    """R is that of scipy; of one for each example no threshold is told, and R_0 has its own."""
    arrays, sigma = drawn(), np.random.default_rng(1).uniform(0.1, 0.3, shape)
    measured = measure(**arrays, reconstruction_loss=kind, sigma=sigma, beta_eff=1)
    density = norm if kind == "gaussian" else laplace
    densities = density.logpdf(arrays["x"], arrays["x_hat"], sigma)
    assert measured.reconstruction == pytest.approx(-densities.sum(axis=1).mean())
    is_of_examples = len(shape) == 2
    assert bool(measured.thresholds) == (kind == "gaussian" and not is_of_examples)
    nothing = arrays["x"].mean(axis=0) if kind == "gaussian" else np.median(arrays["x"], axis=0)
    errors = abs(arrays["x"] - nothing)
    suited = errors.std(axis=0) if kind == "gaussian" else errors.mean(axis=0)
    if is_of_examples:
        suited = np.sqrt((errors**2).mean(axis=0)) if kind == "gaussian" else suited
    of_nothing = density.logpdf(arrays["x"], nothing, suited if is_of_examples else sigma)
    assert measured.reconstruction_of_nothing == pytest.approx(-of_nothing.sum(axis=1).mean())
    if kind == "gaussian" and not is_of_examples:
        covariance = np.cov(arrays["x"] / sigma, rowvar=False, bias=True)
        assert measured.threshold == pytest.approx(np.linalg.eigvalsh(covariance)[-1], rel=1e-4)
    learned = [note for note in measured.notes if note.startswith("If sigma was learned")]
    assert len(learned) == (shape == ())


def test_every_likelihood_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With its parameters, from Python and from a file, which may hold the sigma."""
    arrays = drawn()
    choices = np.eye(D)[np.arange(N) % D]
    counts = np.round(9 * arrays["x"])
    given: dict[str, dict[str, object]] = {
        "bce": {},
        "mse": {},
        "gaussian": {"sigma": 0.1},
        "laplace": {"sigma": 0.1},
        "continuous_bernoulli": {},
        "poisson": {"x": counts},
        "negative_binomial": {"x": counts, "dispersion": 2},
        "categorical": {"x": choices, "groups": "5"},
        "multinomial": {"x": counts},
        "mixed": {"groups": "gaussian:1-5", "sigma": 0.1},
    }
    assert set(given) == set(LIKELIHOODS)
    for kind, other in given.items():
        measured = measure(**arrays | other, reconstruction_loss=kind)
        assert np.isfinite(measured.elbo)
        for name in other:
            if name != "x" and (kind, name) != ("mixed", "sigma"):
                with pytest.raises(UsageError, match="needs its"):
                    measure(**arrays | other | {name: None}, reconstruction_loss=kind)
    np.savez(tmp_path / "own.npz", **arrays, sigma=np.full(D, 0.1))
    file = str(tmp_path / "own.npz")
    _, told, _ = cli(capsys, "measure", file, "--reconstruction-loss", "gaussian", "--json")
    expected = measure(**arrays, reconstruction_loss="gaussian", sigma=0.1)
    assert json.loads(told)["elbo"] == pytest.approx(expected.elbo)
    code, _, _ = cli(capsys, "measure", file, "--reconstruction-loss", "mse")
    assert code == 0, "a likelihood without a sigma leaves that of the file alone"
