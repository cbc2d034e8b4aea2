"""``lossbench explain``: derivations, equal settings, the list, and how they look."""

import json
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from rich.console import Console
from scipy import stats
from test_cli import run as cli
from typer.testing import CliRunner

import lossbench
from lossbench import explanation as explain
from lossbench.cli.app import app
from lossbench.console import screen
from lossbench.data import load
from lossbench.errors import UsageError
from lossbench.explanation.equivalent import Decoded
from lossbench.explanation.listing import weighted
from lossbench.loss import Sizes, catalogue, convention, entry
from lossbench.loss.formula import evaluate
from lossbench.theory import predicted_active_units

ONE = Fraction(1)
WEIGHED = sorted(name for name, row in catalogue().items() if row.trainable and row.beta_eff != "0")
LOSSES = st.sampled_from(WEIGHED)
SIZES = st.builds(
    Sizes,
    d=st.integers(1, 5000),
    k=st.integers(1, 500),
    batch_size=st.integers(1, 5000),
    n_images=st.integers(1, 100_000),
)
BETAS = st.fractions(Fraction(1, 1000), 1000)


def run(*arguments: str, columns: int = 80) -> str:
    """Return what the command prints on so many columns."""
    with pytest.MonkeyPatch.context() as patch:
        console = Console(width=columns, highlight=False, emoji=False, markup=False)
        patch.setattr(screen, "out", lambda: console)
        answer = CliRunner().invoke(app, ["explain", *arguments])
    assert answer.exit_code == 0, answer.output
    return answer.stdout


def facts(*arguments: str) -> dict[str, Any]:
    """Return what the command prints as JSON."""
    found = json.loads(run(*arguments, "--json"))
    assert isinstance(found, dict)
    return found


@given(loss=LOSSES, other=LOSSES, sizes=SIZES, beta=BETAS)
def test_to_another_convention_and_back_is_the_identity(
    loss: str, other: str, sizes: Sizes, beta: Fraction
) -> None:
    """Exactly so, for every pair of conventions, sizes and beta."""
    there = explain.equivalent(loss, beta, other, sizes)
    back = explain.equivalent(other, there.other_beta, loss, sizes)
    assert back.other_beta == beta
    assert there.scale * back.scale == 1
    assert there.other_coefficients.b == there.scale * there.coefficients.b
    assert there.other_coefficients.a == there.scale * there.coefficients.a


@given(loss=LOSSES, other=LOSSES, sizes=SIZES, beta_eff=BETAS, kind=st.sampled_from(["bce", "mse"]))
def test_equal_beta_eff_means_an_equal_explanation_and_prediction(
    loss: str, other: str, sizes: Sizes, beta_eff: Fraction, kind: str
) -> None:
    """What a loss is after depends on no convention."""
    told = [
        explain.derivation(name, sizes, convention(name).beta(beta_eff, sizes), kind)
        for name in (loss, other)
    ]
    assert told[0].optimum == told[1].optimum
    thresholds = np.array([30.0, 3.0, 1.0, 0.3])
    predicted = {
        predicted_active_units(thresholds, float(one.optimum.beta_eff), 3, 1.0)
        for one in told
        if one.optimum is not None
    }
    assert len(predicted) == 1


@given(loss=LOSSES, sizes=SIZES, beta=BETAS)
def test_the_formula_in_the_users_beta_is_the_one_that_is_trained(
    loss: str, sizes: Sizes, beta: Fraction
) -> None:
    """A row's default weight is spelt out in it."""
    formula = weighted(entry(loss).beta_eff, entry(loss))
    found = evaluate(formula, {**sizes.symbols(), "beta": beta})
    assert found == convention(loss).coefficients(sizes, beta).beta_eff


def objective_gradient(weights: np.ndarray, a: float, b: float) -> np.ndarray:
    """Return the gradient of a*R + b*K for a smooth R and K of a few weights."""
    target = np.linspace(-1, 2, weights.size)
    return np.asarray(a * 2 * (weights - target) + b * np.sin(weights) * 0.7)


def trained(
    optimizer: str, a: float, b: float, *, learning_rate: float, epsilon: float
) -> np.ndarray:
    """Return weights after 300 steps of SGD, Adam or RMSprop as Keras writes them."""
    weights = np.linspace(0.5, -0.5, 5)
    m, v = np.zeros(5), np.zeros(5)
    for step in range(1, 301):
        gradient = objective_gradient(weights, a, b)
        if optimizer == "sgd":
            weights = weights - learning_rate * gradient
        elif optimizer == "adam":
            m += (gradient - m) * 0.1
            v += (gradient**2 - v) * 0.001
            alpha = learning_rate * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
            weights = weights - m * alpha / (np.sqrt(v) + epsilon)
        else:
            v = 0.9 * v + 0.1 * gradient**2
            weights = weights - learning_rate * gradient / np.sqrt(v + epsilon)
    return weights


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "rmsprop"])
@pytest.mark.parametrize("other", ["docs", "pytorch-examples", "keras-deconv-2016-09-28"])
def test_the_equal_setting_trains_the_same_run(optimizer: str, other: str) -> None:
    """With the factors that it gives every step is the same, and without them it is not."""
    sizes = Sizes(d=784, k=2, batch_size=128)
    same = explain.equivalent("blog", Fraction(1, 400), other, sizes)
    a, b = float(same.coefficients.a), float(same.coefficients.b)
    other_a, other_b = float(same.other_coefficients.a), float(same.other_coefficients.b)
    rate, epsilon = {"sgd": 0.5, "adam": 1e-2, "rmsprop": 1e-2}[optimizer], 1e-4
    epsilon_factor = {
        "sgd": ONE,
        "adam": same.adam_epsilon_factor,
        "rmsprop": same.rmsprop_epsilon_factor,
    }[optimizer]
    rate_factor = same.sgd_learning_rate_factor if optimizer == "sgd" else ONE
    reference = trained(optimizer, a, b, learning_rate=rate, epsilon=epsilon)
    found = trained(
        optimizer,
        other_a,
        other_b,
        learning_rate=rate * float(rate_factor),
        epsilon=epsilon * float(epsilon_factor),
    )
    np.testing.assert_allclose(found, reference, rtol=1e-9)
    with np.errstate(over="ignore", invalid="ignore"):
        naive = trained(optimizer, other_a, other_b, learning_rate=rate, epsilon=epsilon)
    assert not np.allclose(naive, reference, rtol=1e-6)


def test_blog_is_a_beta_vae_with_beta_392_and_a_decoder_of_sigma_14() -> None:
    """The numbers of the design."""
    told = facts("blog", "--d", "784", "--k", "2", "--reconstruction-loss", "mse")
    assert told["a"] == pytest.approx(1 / 784)
    assert (told["b"], told["beta_eff"], told["implied_sigma"], told["beta_norm"]) == (
        0.5,
        392.0,
        14.0,
        1.0,
    )
    assert facts("blog")["implied_sigma"] == 14.0
    assert facts("blog", "--reconstruction-loss", "bce")["implied_sigma"] is None


def test_the_derivation_reads_as_it_should_at_80_columns() -> None:
    """Each step, the meaning in a sentence, and both answers of the web."""
    text = run("blog", "--d", "784", "--k", "2", "--reconstruction-loss", "mse")
    for line in (
        "   loss = mean_d((x - x_hat)^2)",
        "        + beta * -0.5 * mean_k(1 + log_var - mean^2 - exp(log_var))",
        "   a = 1/d = 1/784 = 0.00127551",
        "   b = beta * 1/k = beta/k = 1/2 = 0.5",
        "   beta_eff = b/a = beta*d/k = 1*784/2 = 392",
        "   sigma = sqrt(beta_eff/2) = sqrt(392/2) = 14",
        'Wrong on the web: "the first loss is the second divided by d"',
        "   blog(beta)   = docs(beta*d/k)/d = docs(392*beta)/784",
        "   -ln N(x; x_hat, sigma^2*I) = m*MSE/(2*sigma^2) + (m/2)*ln(2*pi*sigma^2)",
    ):
        assert line in text.splitlines()
    words = " ".join(text.split())
    assert "a beta-VAE with beta 392 (Higgins' beta_norm = beta_eff*k/d = 1)" in words
    assert "It writes one d for two sizes" in words
    assert "It holds only where k = d" in words
    assert "the 1/(2*sigma^2) that the answer leaves out" in words
    assert max(map(len, text.splitlines())) <= 80


def test_where_k_is_d_the_answer_of_the_web_holds() -> None:
    """There the two losses are the same but for the factor d."""
    text = " ".join(run("blog", "--d", "4", "--k", "4").split())
    assert "It holds here only because k = d = 4." in text


def test_docs_shows_that_d_times_the_mean_is_the_sum() -> None:
    """The documentation's loss is the ELBO itself."""
    text = run("docs")
    assert "   a = d * 1/d = 1" in text.splitlines()
    assert "It trains the ELBO itself" in text


def test_to_gives_beta_and_what_each_optimizer_needs() -> None:
    """392, the learning rate over 784 and epsilon times 784."""
    told = facts("blog", "--to", "docs")
    assert told["to"] == {"loss": "docs", "beta": 392.0, "a": 1.0, "b": 392.0, "beta_eff": 392.0}
    assert told["scale"] == told["adam_epsilon_factor"] == 784.0
    assert told["adam_epsilon"] == pytest.approx(784e-7)
    assert told["sgd_learning_rate_factor"] == pytest.approx(1 / 784)
    text = run("blog", "--to", "docs")
    assert text.startswith("blog at beta 1 is docs at beta 392\n")
    assert "Keras' 1e-07 becomes 7.84e-05" in text


def test_to_tells_the_weight_in_the_others_own_code_and_another_noise() -> None:
    """Beta multiplies a default weight of 0.1 there; the blog's noise is no scaling."""
    text = " ".join(run("keras-blog", "--to", "lightning-bolts-vae").split())
    assert "keras-blog at beta 1 is lightning-bolts-vae at beta 10" in text
    assert "a weight of 1 in place of 0.1" in text
    assert "times 0.01 in keras-blog" in text


@pytest.mark.parametrize("columns", [80, 120, 160])
def test_the_list_names_every_loss_whole_and_keeps_to_the_width(columns: int) -> None:
    """Every name, none cut, and every reason."""
    text = run(columns=columns)
    lines = text.splitlines()
    assert max(map(len, lines)) <= columns
    firsts = {line.split()[0] for line in lines if line.strip()}
    assert set(catalogue()) <= firsts
    joined = " ".join(text.split())
    assert all(row.reason in joined for row in catalogue().values())
    assert all(row.origin in joined for row in catalogue().values())


def test_the_list_flags_what_surprises() -> None:
    """Batch size, data size and noise; rows that merely sum over the batch, in their scale."""
    rows = {row.entry.name: row for row in explain.listing(explain.DEFAULT_SIZES, ONE)}
    flags = {name: row.flags for name, row in rows.items()}
    assert flags["antixk-pytorch-vae-2020"] == ("B", "N")
    assert flags["sigma-vae-pytorch-mse"] == ("B",)
    assert flags["keras-blog"] == ("noise 0.01",)
    assert flags["pytorch-examples"] == ("scale B",)
    assert flags["blog"] == flags["docs"] == ()


def test_the_list_says_what_a_sweep_trains_with_and_what_it_leaves_out() -> None:
    """Forms of its own, likelihoods that are not bce or mse, and approximations, marked."""
    rows = {row.entry.name: row for row in explain.listing(explain.DEFAULT_SIZES, ONE)}
    flags = {name: row.flags for name, row in rows.items()}
    assert flags["world-models"] == ("floor",)
    assert flags["tensorflow-cvae-tutorial"] == ("sampled KL",)
    assert flags["scvi-tools"] == ("warm-up", "own negative_binomial", "approximately")
    assert flags["disentangling-vae-laplace"] == ("own laplace", "approximately")
    assert flags["bvae-tf"] == ("own laplace",)
    assert flags["pytorch-examples-2017"] == ("approximately",)
    assert flags["two-stage-vae"] == ("own gaussian, sigma learned",)
    assert flags["disentanglement-lib-annealed"] == ("capacity", "approximately")
    text = " ".join(run().split())
    assert "96 losses that a sweep can train" in text
    assert "9 that no sweep trains" in text
    told = " ".join(run("world-models").split())
    assert "A sweep trains it with free_bits 0.5*k and free_bits_over total_example" in told
    assert "reconstruction_loss own its own likelihood, laplace" in " ".join(run("bvae-tf").split())
    assert facts("scvi-tools")["own"] == {"kl_schedule": "linear:1"}
    cautions = " ".join(facts("docs", "--to", "world-models")["cautions"])
    assert "world-models has settings of its own" in cautions


def test_the_lineage_of_keras_has_had_392_1_784_and_a_half() -> None:
    """In the order of their dates, at the sizes that they were published with."""
    rows = explain.lineage("keras", Sizes(), ONE)
    values = [row.beta_eff for row in rows]
    assert values[:4] == [392, 1, 784, 392]
    assert values[-2:] == [Fraction(1, 2), 1]
    dates = [row.entry.date.removeprefix("after ") for row in rows]
    assert dates == sorted(dates)
    text = run("--lineage", "keras")
    assert "2016-07-25   keras-2016-07-25              784" in text
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize("name", sorted({row.lineage for row in catalogue().values()}))
def test_every_lineage_can_be_drawn(name: str) -> None:
    """Also one with a zero, or a single row."""
    for columns in (60, 80, 120):
        text = run("--lineage", name, columns=columns)
        assert all(row.name in text for row in catalogue().values() if row.lineage == name)


@pytest.mark.parametrize("loss", sorted(catalogue()))
def test_every_loss_can_be_explained(loss: str) -> None:
    """Also what cannot be trained: with its reason, and as JSON."""
    text = " ".join(run(loss).split())
    assert entry(loss).reason in text
    assert facts(loss)["loss"] == loss


def test_beta_zero_is_an_autoencoder() -> None:
    """No sentence divides by it."""
    assert "an autoencoder whose noise costs nothing" in " ".join(
        run("docs", "--beta", "0").split()
    )
    assert facts("blog", "--to", "docs", "--beta", "0")["scale"] == 784.0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("bloog",), "did you mean 'blog'"),
        (("blog", "--to", "dosc"), "did you mean 'docs'"),
        (("blog", "--to", "vgae"), "its data are one graph"),
        (("latent-diffusion", "--to", "docs"), "adversarial terms besides"),
        (("blog", "--to", "irmae-vae-2021"), "no KL term"),
        (("--lineage", "kears"), "did you mean 'keras'"),
        (("--to", "docs"), "needs a loss"),
        (("blog", "--lineage", "keras"), "two questions"),
        (("blog", "--d", "0"), "at least 1"),
        (("blog", "--k", "-3"), "at least 1"),
        (("blog", "--n-images", "0"), "--n-images"),
        (("blog", "--beta", "nan"), "a number of at least 0"),
        (("blog", "--beta", "-1"), "a number of at least 0"),
        (("blog", "--beta", "inf"), "a number of at least 0"),
        (("blog", "--to", "bce"), "no weight turns mse into bce"),
        (("keras-docs", "--to", "gaussian"), "keras-docs has bce"),
        (("bvae-tf", "--to", "gaussian"), "bvae-tf has l1"),
        (("docs", "--to", "gaussian", "--beta", "0"), "every sigma is as good"),
        (("docs", "--to", "gaussian", "--sigma", "0"), "a number above 0"),
        (("docs", "--to", "gaussian", "--sigma", "nan"), "a number above 0"),
        (("docs", "--to", "mse", "--sigma", "1"), "neither side has a sigma"),
        (("docs", "--sigma", "1"), "an equal setting elsewhere"),
        (("docs", "--to", "blog", "--reconstruction-loss", "mse"), "the same for every likelihood"),
        (("docs", "--to-data-range", "-1"), "two numbers"),
        (("docs", "--to-data-range", "1,1"), "two numbers"),
        (("docs", "--to-data-range", "0,inf"), "two numbers"),
        (("--to-data-range", "-1,1"), "needs a loss"),
    ],
)
def test_bad_input_is_told_and_exits_with_2(
    arguments: tuple[str, ...],
    told: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One message on stderr, nothing on stdout, no traceback."""
    monkeypatch.setattr(sys, "argv", sys.argv)
    code, out, err = cli(capsys, "explain", *arguments)
    assert (code, out) == (2, "")
    assert told in " ".join(err.split())
    assert "Traceback" not in err


def test_explain_loads_no_array_library_and_no_framework(tmp_path: Path) -> None:
    """The algebra needs the standard library, and rich to print it."""
    program = (
        "import sys\nfrom lossbench.cli.app import app\n"
        "app(['explain', 'blog'], standalone_mode=False)\n"
        "heavy = {'numpy', 'pandas', 'tensorflow', 'keras', 'scipy', 'dask'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert answer.returncode == 0, answer.stderr


SIGMAS = st.floats(0.01, 100).map(lambda sigma: float(f"{sigma:.4g}"))
RANGES = st.tuples(st.integers(-300, 300), st.integers(1, 600)).map(lambda e: (e[0], e[0] + e[1]))


def written_out(
    loss: str, beta: Fraction, decoded: Decoded, errors: np.ndarray, each_kl: np.ndarray
) -> float:
    """Return blog or docs as code has it, of errors on data from 0 to 1 and KLs of the latents."""
    low, high = decoded.data_range
    x, sigma = (high - low) * errors, decoded.sigma
    if sigma is None:
        each = x**2
    elif decoded.likelihood.name == "gaussian":
        each = -stats.norm(scale=sigma).logpdf(x)
    else:  # scipy's underflows
        each = abs(x) / sigma + np.log(2 * sigma)
    if loss == "blog":
        return float(np.mean(each) + float(beta) * np.mean(each_kl))
    return float(each.size * np.mean(each) + float(beta) * np.sum(each_kl))


@given(
    loss=st.sampled_from(["blog", "docs"]),
    kind=st.sampled_from(["mse", "gaussian", "laplace"]),
    to=st.sampled_from([None, "blog", "docs", "mse", "gaussian", "laplace"]),
    sigma=st.none() | SIGMAS,
    ranges=st.tuples(RANGES, RANGES),
    beta=st.fractions(Fraction(1, 100), 100),
)
def test_another_likelihood_or_range_has_the_same_objective_by_brute_force(
    loss: str,
    kind: str,
    to: str | None,
    sigma: float | None,
    ranges: tuple[tuple[int, int], tuple[int, int]],
    beta: Fraction,
) -> None:
    """Of two models the objectives differ by c times as much on the other side."""
    other_kind = to if to in ("mse", "gaussian", "laplace") else kind
    assume((kind == "laplace") == (other_kind == "laplace"))
    same = explain.equivalent(
        *(loss, beta, to, Sizes(d=5, k=3)),
        reconstruction_loss=kind,
        sigma=None if {kind, other_kind} == {"mse"} else sigma,
        data_range=ranges[0],
        to_data_range=ranges[1],
    )
    assert same.decoding is not None
    rng = np.random.default_rng(0)
    models = [(rng.normal(size=5), rng.random(3)) for _ in range(2)]
    here, there = (
        written_out(name, weight, side, *models[0]) - written_out(name, weight, side, *models[1])
        for name, weight, side in (
            (same.loss, same.beta, same.decoding.here),
            (same.other, same.other_beta, same.decoding.there),
        )
    )
    assert there == pytest.approx(float(same.scale) * here, rel=1e-6)
    assert same.other_coefficients.beta_eff == same.beta_eff * same.decoding.ratio


def test_mse_and_gaussian_turn_into_each_other() -> None:
    """By 2*sigma^2; without a sigma it is the one at which beta_eff is 1."""
    there = facts("docs", "--beta", "0.02", "--to", "gaussian", "--sigma", "0.1")["to"]
    assert (there["reconstruction_loss"], there["sigma"], there["beta"]) == ("gaussian", 0.1, 1.0)
    asked = ("docs", "--reconstruction-loss", "gaussian", "--sigma", "0.1", "--to", "mse")
    assert facts(*asked)["to"]["beta"] == pytest.approx(0.02)
    there = facts("blog", "--to", "gaussian")["to"]
    assert (there["sigma"], there["beta_eff"]) == (14.0, 1.0)
    text = run("docs", "--to", "gaussian", "--sigma", "0.1")
    assert text.startswith("docs with mse at beta 1 is docs with gaussian (sigma 0.1) at beta 50\n")
    assert "beta_eff(mse) = 2*sigma^2 * beta_eff(gaussian) = 2*0.1^2 * 50 = 1" in text
    assert "c = 50 times that of docs with mse, but for a constant" in " ".join(text.split())


def test_data_from_minus_1_to_1_have_four_times_the_squared_error() -> None:
    """So four times the beta, or sigma twice as large; per image and per pixel alike."""
    text = run("docs", "--to-data-range", "-1,1")
    assert text.startswith(
        "docs with mse on 0 to 1 at beta 1 is docs with mse on -1 to 1 at beta 4\n"
    )
    assert "constant" not in text
    told = facts("docs", "--reconstruction-loss", "gaussian", "--to-data-range", "-1,1")
    assert (told["to"]["sigma"], told["to"]["beta"], told["scale"]) == (2.0, 1.0, 1.0)
    assert "With a sigma of 1 there, beta is 4." in str(told["cautions"])
    asked = ("blog", "--to", "docs", "--data-range", "-1,1", "--to-data-range", "0,1")
    assert facts(*asked)["to"]["beta"] == 98.0
    per_pixel = facts("antixk-pytorch-vae-2021", "--to", "docs", "--beta", "4")
    assert per_pixel["to"]["beta"] == pytest.approx(0.784)


def test_python_and_the_command_say_the_same_of_another_likelihood() -> None:
    """With the options for arguments, and errors that name them."""
    same = lossbench.explain("docs", "gaussian", sigma=0.1, to_data_range=(-1, 1))
    asked = ("docs", "--to", "gaussian", "--sigma", "0.1", "--to-data-range", "-1,1")
    assert same.to_dict() == facts(*asked)
    assert float(same.other_beta) == 200
    with pytest.raises(UsageError, match="to_data_range: data have a smallest"):
        lossbench.explain("docs", to_data_range=(1, 0))
    with pytest.raises(UsageError, match="to_data_range: `to_data_range` is no range"):
        lossbench.explain("docs", to_data_range=1)
    with pytest.raises(UsageError, match="sigma: `sigma` is for an equal setting"):
        lossbench.explain("docs", sigma=1)


def test_on_data_it_tells_the_loss_of_a_model_that_learns_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """R_0 of ``bce`` is the entropy of the mean image, by hand; ``a`` turns it into the log's."""
    train = load("digits", 64).train
    mean = train.mean(axis=0, dtype=float).clip(1e-7, 1 - 1e-7)
    nothing = -(mean * np.log(mean) + (1 - mean) * np.log(1 - mean)).sum()
    bce, mse = lossbench.explain("blog", dataset="digits", k=2).on_data
    assert bce.reconstruction_of_nothing == pytest.approx(nothing, rel=1e-4)
    assert bce.logged == pytest.approx(nothing / 64, rel=1e-4)
    assert mse.reconstruction_of_nothing == pytest.approx(train.var(axis=0).sum(), rel=1e-5)
    assert (bce.threshold, bce.collapses, mse.collapses) == (3.32115, True, True)
    (mine,) = lossbench.explain("docs", dataset="digits", reconstruction_loss="bce").on_data
    assert not mine.collapses
    _, told, _ = cli(capsys, "explain", "blog", "--dataset", "digits", "--k", "2")
    assert "A loss that stays at 0.4233 draws the mean image" in " ".join(told.split())
    assert lossbench.explain("blog").on_data == ()
