"""The catalogue: every row against a brute-force loss, and conventions of the user's own."""

import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from audited.literal import FORMS
from hypothesis import given
from hypothesis import strategies as st

from lossbench.errors import ExperimentError, UsageError
from lossbench.experiment import Experiment, extended, read, stacks, text_of
from lossbench.loss import Entry, Gaussian, Sizes, catalogue, convention, entry
from lossbench.loss.formula import evaluate

ROWS = [pytest.param(row, id=row.name) for row in catalogue().values()]
SMALL = Sizes(d=48, k=5, batch_size=7, n_images=1000)
MINE = """
[convention.mine]
over_inputs = "mean"
over_latents = "sum"
over_batch = "mean"
reconstruction_factor = "d"
kl_factor = "{kl_factor}"

[sweep]
loss = ["mine", "docs"]
d = [16]
seeds = 1
"""


def brute_force(row: Entry, sizes: Sizes) -> tuple[float, float, float]:
    """Return the loss as it is written, and R and K, on random terms."""
    loss = row.convention
    random = np.random.default_rng(0)
    n_batch, d, k = sizes.batch_size or 7, sizes.d or 48, sizes.k or 5
    reconstruction = random.random((n_batch, d))
    kl = random.random((n_batch, k))
    symbols = {"d": d, "k": k, "B": n_batch, "N": sizes.n_images or 1000}
    numbers = symbols | {"beta": float(loss.default_beta)}

    def reduced(terms: np.ndarray, over_terms: str, factor: str) -> float:
        per_sample = getattr(np, over_terms)(terms, axis=1)
        whole = getattr(np, loss.over_batch)(per_sample)
        return float(whole * eval(factor, {"__builtins__": {}}, numbers))  # noqa: S307 - our file

    written = reduced(reconstruction, loss.over_inputs, loss.reconstruction_factor)
    written += reduced(kl, loss.over_latents, loss.kl_factor)
    return written, float(reconstruction.sum(axis=1).mean()), float(kl.sum(axis=1).mean())


def completed(sizes: Sizes) -> Sizes:
    """Return sizes with the small ones in place of those that were not published."""
    return Sizes(sizes.d or 48, sizes.k or 5, sizes.batch_size or 7, sizes.n_images or 1000)


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("at", ["small", "published"])
def test_a_and_b_of_every_row_match_its_reductions_taken_literally(row: Entry, at: str) -> None:
    """The loss on random arrays is a*R + b*K, at the row's own sizes and at small ones."""
    sizes = SMALL if at == "small" else completed(row.sizes)
    written, r, k = brute_force(row, sizes)
    found = row.convention.coefficients(sizes, 1)
    assert float(found.a) * r + float(found.b) * k == pytest.approx(written, rel=1e-9)


@pytest.mark.parametrize("row", ROWS)
def test_the_formulas_that_are_shown_are_those_that_are_trained(row: Entry) -> None:
    """The columns a, b and beta_eff equal what follows from the reductions."""
    symbols = SMALL.symbols() | {"beta": Fraction(row.convention.default_beta)}
    found = row.convention.coefficients(SMALL, 1)
    a, b, beta_eff = (evaluate(text, symbols) for text in (row.a, row.b, row.beta_eff))
    assert (found.a, found.b, found.beta_eff) == (a, b, beta_eff)


@pytest.mark.parametrize("row", [row for row in ROWS if row.values[0].beta_at_defaults is not None])
def test_beta_eff_at_the_published_defaults_is_the_published_one(row: Entry) -> None:
    """The number that was carried over with its source comes out of the formulas."""
    found = row.convention.coefficients(row.sizes, 1).beta_eff
    assert float(found) == pytest.approx(row.beta_at_defaults, rel=1e-5)


def test_the_catalogue_has_every_row_with_its_source_and_the_two_of_the_question() -> None:
    """103 published rows, blog and docs; how many train, and as nothing but a*R + b*K."""
    rows = catalogue()
    assert len(rows) == 105
    assert list(rows)[:2] == ["blog", "docs"]
    assert sum(row.trainable for row in rows.values()) == 96
    assert sum(row.is_plain for row in rows.values()) == 75
    assert all(row.source and row.date and row.note and row.lineage for row in rows.values())


def test_what_is_known_of_single_rows_is_carried_over() -> None:
    """Literal values of the facts, so that a slip in the file is seen."""
    pinned = {
        "keras-blog": 392,
        "keras-2016-07-25": 784,
        "keras-io-2020": 0.5,
        "chollet-book-2017": 0.392,
        "antixk-pytorch-vae-2020": 10.871,
        "alibi-detect": 4.88281e-06,
        "bvae-tf": 19660800,
        "irmae-vae-2021": 0,
    }
    assert {name: entry(name).beta_at_defaults for name in pinned} == pinned
    assert entry("keras-blog").noise_std == 0.01
    assert entry("blog").noise_std == 1


def test_the_weight_of_a_sweep_multiplies_the_weight_of_the_row() -> None:
    """kl_coeff is 0.1 by default, so beta 10 is a weight of 1."""
    sizes = Sizes(d=784, k=2)
    bolts, blog = convention("lightning-bolts-vae"), convention("blog")
    assert bolts.coefficients(sizes, 10) == blog.coefficients(sizes, 1)


def test_a_size_that_a_formula_lacks_is_named() -> None:
    """The error says whose formula it is and what N is."""
    with pytest.raises(UsageError, match="needs N, the number of training images") as caught:
        convention("antixk-pytorch-vae-2020").coefficients(Sizes(d=4, k=2, batch_size=8), 1)
    assert "kl_factor of loss antixk-pytorch-vae-2020" in caught.value.where
    with pytest.raises(UsageError, match="needs d, the input dimension"):
        convention("blog").coefficients(Sizes(k=2), 1)
    with pytest.raises(UsageError, match="needs B, the batch size"):
        convention("pytorch-examples").coefficients(Sizes(d=4, k=2), 1)


def test_a_name_that_is_unknown_or_cannot_be_trained_is_told_apart() -> None:
    """Nearest names for the one, the reason for the other."""
    with pytest.raises(UsageError) as unknown:
        convention("pytorch-exmples")
    assert "'pytorch-examples'" in unknown.value.remedy
    with pytest.raises(UsageError, match="no sweep trains 'vgae': its data are one graph"):
        convention("vgae")


OWN_FORMS = {
    "sigma-vae-pytorch-sigma": {},  # a parameter of a likelihood that is not trained here
    "sigma-vae-pytorch-optimal": {},
    "two-stage-vae": {},
    "balancing-vae": {},
    "antixk-pytorch-vae-capacity": {"capacity": "25:0.356"},
    "disentanglement-lib-annealed": {"capacity": "25:0.3333"},
    "disentangling-vae-capacity": {"capacity": "25:0.2894"},
    "beta-vae-1konny-capacity": {"capacity": "20:0.0667"},
    "sentence-vae": {"kl_schedule": "sigmoid:0.38"},
    "vae-pretraining-encoder": {
        "free_bits": 0.25,
        "free_bits_over": "latent_example",
        "kl_schedule": "linear:0.1",
    },
    "music-vae-drums": {"free_bits": 33.2710646669, "free_bits_over": "total_example"},
    "vae-cf": {"kl_schedule": "linear:0.855"},
    "pyro-examples": {"kl_estimator": "sample"},
    "numpyro-examples": {"kl_estimator": "sample"},
    "tensorflow-cvae-tutorial": {"kl_estimator": "sample"},
    "tfp-layers-vae": {"kl_estimator": "sample"},
    "lightning-bolts-vae-2020": {"kl_estimator": "sample"},
    "world-models": {"free_bits": 16.0, "free_bits_over": "total_example"},
    "adsp-world-models-2018-07-07": {"free_bits": 16.0, "free_bits_over": "total_example"},
    "scvi-tools": {"kl_schedule": "linear:1"},
    "moses-vae": {"kl_schedule": "linear:1"},
}


def test_a_row_trains_with_the_form_of_its_own(tmp_path: Path) -> None:
    """By its name alone, beside losses that have none, and again from the frozen file."""
    assert {row.name for row in catalogue().values() if row.own} == set(OWN_FORMS)
    names = ",".join(["docs", *OWN_FORMS])
    overrides = {"loss": names, "k": "32", "d": "64", "seeds": "1", "reconstruction_loss": "bce"}
    asked = read(None, overrides)
    runs = {run.loss: run for run in asked.runs()}
    for loss, own in OWN_FORMS.items():
        assert {name: getattr(runs[loss], name) for name in own} == own
        assert own.items() <= runs[loss].identity().items()
        assert runs[loss].sigma == 1
    assert runs["docs"].kl_form.is_plain
    frozen = tmp_path / "experiment.toml"
    frozen.write_text(text_of(asked))
    assert read(frozen).runs() == asked.runs()
    assert extended(asked, read(frozen)) == asked


CONTRADICTIONS = {
    "[training]\nfree_bits = 2": (2, "`free_bits` contradicts loss world-models at k = 2"),
    "[training]\nfree_bits = 0": (2, "`free_bits` contradicts loss world-models at k = 2"),
    '[training]\nfree_bits_over = "latent"': (2, "`free_bits_over` contradicts"),
    "[training]\ncapacity = 3": (2, "`free_bits` and `capacity` in one run"),
}


@pytest.mark.parametrize(("text", "told"), CONTRADICTIONS.items())
def test_a_key_that_contradicts_a_loss_is_refused(
    text: str, told: tuple[int, str], tmp_path: Path
) -> None:
    """Also the default, where somebody wrote it; what agrees, or is of another key, is taken."""
    file = tmp_path / "mine.toml"
    file.write_text(f'{text}\n[sweep]\nd = 64\nk = 2\nloss = ["docs", "world-models"]\n')
    line, problem = told
    with pytest.raises(ExperimentError, match=problem) as caught:
        read(file).runs()
    assert caught.value.where == f"{file}, line {line}"
    plain = {"d": "64", "k": "2", "loss": "world-models", "seeds": "1"}
    (run, *_) = read(None, plain | {"free_bits": "1", "kl_schedule": "linear:0.5"}).runs()
    assert (run.free_bits, run.free_bits_over, run.kl_schedule) == (
        1.0,
        "total_example",
        "linear:0.5",
    )


def test_own_is_the_likelihood_of_each_loss(tmp_path: Path) -> None:
    """The published factors multiply it; a loss that has none is refused."""
    own = {
        "docs": "bce",
        "keras-blog": "bce",
        "bvae-tf": "laplace",
        "disentangling-vae-laplace": "laplace",
        "alibi-detect": "mse",
        "scvi-tools": "negative_binomial",
        "music-vae-drums": "categorical",
        "vae-cf": "multinomial",
        "two-stage-vae": "gaussian",
    }
    for loss, expected in own.items():
        overrides = {"loss": loss, "d": "64", "k": "2", "reconstruction_loss": "own"}
        assert {run.reconstruction_loss for run in read(None, overrides).runs()} == {expected}
    with pytest.raises(ExperimentError, match="loss mine has no likelihood of its own") as caught:
        read(experiment_file(tmp_path), {"reconstruction_loss": "own"}).runs()
    assert caught.value.where == "--reconstruction-loss"


def test_a_loss_with_a_learned_sigma_trains_with_it_and_with_no_other() -> None:
    """Where its own likelihood is trained; another one has the sigma of the experiment."""
    sigmas = {
        "sigma-vae-pytorch-sigma": "learned",
        "sigma-vae-pytorch-optimal": "optimal",
        "two-stage-vae": "learned",
        "balancing-vae": "optimal",
    }
    asked = {"d": "64", "k": "2", "seeds": "1", "loss": ",".join(["docs", *sigmas])}
    for kinds, expected in (
        ("gaussian", {"docs": 1.0} | sigmas),
        ("laplace", dict.fromkeys(["docs", *sigmas], 1.0)),
    ):
        runs = read(None, asked | {"reconstruction_loss": kinds}).runs()
        assert {run.loss: run.sigma for run in runs} == expected
    own = read(None, asked | {"loss": ",".join(sigmas), "reconstruction_loss": "own"}).runs()
    assert {run.loss: run.sigma for run in own} == sigmas
    assert all(run.identity()["sigma"] == sigmas[run.loss] for run in own)
    with pytest.raises(ExperimentError, match="`sigma` contradicts loss sigma-vae-pytorch-sigma"):
        read(None, asked | {"reconstruction_loss": "gaussian", "sigma": "0.5"}).runs()


def test_what_the_codes_with_a_learned_sigma_write_is_what_theirs_train() -> None:
    """Rybkin's and Dai's density, and the gradient of the variance that a batch computes."""
    random = np.random.default_rng(0)
    x, image = random.random((2, 7, 48))
    for log_sigma in (-2.0, -0.5):
        ours = Gaussian(sigma=math.exp(log_sigma)).reconstruction(x, image)
        nll = (
            0.5 * ((x - image) / math.exp(log_sigma)) ** 2 + log_sigma + 0.5 * math.log(2 * math.pi)
        )
        dai = ((x - image) / math.exp(log_sigma)) ** 2 / 2.0 + log_sigma + 0.91893
        a, b = _weights("sigma-vae-pytorch-sigma")
        assert (a * ours.mean(), b) == (pytest.approx(nll.sum()), 7)
        a, b = _weights("two-stage-vae")
        assert (a * ours.mean(), b) == (pytest.approx(dai.sum() / 7, rel=1e-4), 1)

    def optimal(sse: float, n: int = 100) -> float:
        """Return optimal_sigma_vae's loss of n errors, with its soft floor."""
        log_sigma = -6 + math.log1p(math.exp(0.5 * math.log(sse / n) + 6))
        return 0.5 * sse / math.exp(2 * log_sigma) + n * log_sigma

    for sigma, apart in ((0.05, 4.5e-3), (0.1, 1.5e-3), (0.5, 1e-4)):
        sse = 100 * sigma**2
        step = 1e-4 * sse
        slope = (optimal(sse + step) - optimal(sse - step)) / (2 * step)
        assert slope == pytest.approx(1 / (2 * sigma**2), rel=apart)


def _weights(loss: str) -> tuple[float, float]:
    found = convention(loss).coefficients(SMALL, 1)
    return float(found.a), float(found.b)


@pytest.mark.parametrize("loss", FORMS)
def test_a_form_of_its_own_is_what_its_code_writes(loss: str) -> None:
    """At the first, some and the last step of the code's training, on random terms."""
    text, n_steps, steps_an_epoch, apart = FORMS[loss]
    batch, n, k = 7, 48, 32
    own = entry(loss).likelihood
    groups = {"groups": "1"} if own == "categorical" else {}
    asked = {"loss": loss, "d": str(n), "k": str(k), "batch_size": str(batch), "seeds": "1"}
    (run,) = read(None, asked | groups | {"reconstruction_loss": own, "beta": "1"}).runs()
    random = np.random.default_rng(1)
    errors, kl, log_q, log_p = (random.exponential(1.0, (batch, size)) for size in (n, k, k, k))
    parts = log_q - log_p if run.kl_estimator == "sample" else kl
    for step in (0, 1, n_steps // 11, n_steps // 5, n_steps // 3, n_steps // 2, n_steps - 1):
        at = (np.array([step]), n_steps, steps_an_epoch)
        form = run.kl_form.value(parts, run.bounds(*at)[0], np)
        ours = run.a * errors.sum(axis=1).mean() + run.b * run.schedule.at(*at)[0] * form
        names = dict.fromkeys(("bce", "sse", "nll"), errors) | {"kl": kl, "k": k, "B": batch}
        names |= {"log_q": log_q, "log_p": log_p, "step": step, "epoch": step // steps_an_epoch}
        names |= {name: getattr(np, name) for name in ("mean", "sum", "maximum", "minimum")}
        names |= {"abs": abs, "exp": np.exp, "log": np.log, "n_epoch": steps_an_epoch}
        written = eval(text, {"__builtins__": {}}, names)  # noqa: S307 - the texts of tests
        assert ours == pytest.approx(written, rel=apart), step


def test_every_form_but_the_one_that_was_reported_has_its_text() -> None:
    """That one is known from an issue alone; a learned sigma is held to its density above."""
    own = {row.name for row in catalogue().values() if row.own and "sigma" not in row.own}
    assert set(FORMS) == own - {"tfp-layers-vae"}


def experiment_file(folder: Path) -> Path:
    """Return a file with a convention of its own."""
    experiment(folder)
    return folder / "own.toml"


def test_a_row_without_a_kl_term_has_no_beta_for_a_weight() -> None:
    """Without its KL, irmae can have beta_eff 0 alone."""
    lost = convention("irmae-vae-2021")
    assert lost.beta(0, SMALL) == 1
    with pytest.raises(UsageError, match="no KL term"):
        lost.beta(1, SMALL)


def test_rows_of_the_catalogue_stand_in_a_grid_like_the_two_of_the_question(
    tmp_path: Path,
) -> None:
    """N is known from the data; one stack trains them all, since they differ in numbers only."""
    file = tmp_path / "four.toml"
    losses = "blog,docs,keras-io-2020,pytorch-examples,antixk-pytorch-vae-2020"
    file.write_text("[sweep]\nd = [16]\nk = [4]\nseeds = 1\n")
    runs = read(file, {"loss": losses}).resolved(lambda _: (64, 1437, ())).runs()
    found = {run.loss: (run.a, run.beta_eff) for run in runs}
    assert found == {
        "blog": (1 / 16, 4.0),
        "docs": (1.0, 1.0),
        "keras-io-2020": (1.0, 0.25),
        "pytorch-examples": (128.0, 1.0),
        "antixk-pytorch-vae-2020": (1 / 16, pytest.approx(128 * 16 / 1437)),
    }
    assert len(stacks(runs)) == 1
    assert all("definition" not in run.identity() for run in runs)


def experiment(folder: Path, kl_factor: str = "beta/2") -> Experiment:
    """Return an experiment with a convention of its own."""
    file = folder / "own.toml"
    file.write_text(MINE.format(kl_factor=kl_factor))
    return read(file)


def test_a_convention_of_the_users_own_is_trained_and_survives_the_frozen_file(
    tmp_path: Path,
) -> None:
    """Its a and b are those of its formulas, and what is written reads back the same."""
    own = experiment(tmp_path)
    mine, docs = sorted(own.runs(), key=lambda run: run.loss, reverse=True)
    assert (mine.a, mine.b, mine.beta_eff) == (1.0, 0.5, 0.5)
    assert (docs.a, docs.b, docs.definition) == (1.0, 1.0, "")
    frozen = tmp_path / "experiment.toml"
    frozen.write_text(text_of(own))
    again = read(frozen)
    assert again == own
    assert again.runs() == own.runs()
    assert text_of(again) == text_of(own)


def test_an_edited_formula_is_another_run_and_leaves_the_catalogues_runs_alone(
    tmp_path: Path,
) -> None:
    """Blanks in a formula are no edit."""

    def ids(kl_factor: str) -> dict[str, str]:
        return {run.loss: run.run_id for run in experiment(tmp_path, kl_factor).runs()}

    first, spaced, edited = ids("beta/2"), ids(" beta / 2 "), ids("0.5*beta")
    assert first == spaced
    assert first["mine"] != edited["mine"]
    assert first["docs"] == edited["docs"]
    plain = tmp_path / "plain.toml"
    plain.write_text('[sweep]\nloss = ["docs"]\nd = [16]\nseeds = 1\n')
    assert read(plain).runs()[0].run_id == first["docs"]


def test_one_folder_does_not_hold_two_conventions_of_one_name(tmp_path: Path) -> None:
    """The refusal names the convention and both definitions."""
    first, edited = experiment(tmp_path), experiment(tmp_path, "beta/3")
    assert extended(first, first).conventions == first.conventions
    with pytest.raises(ExperimentError) as caught:
        extended(first, edited)
    assert "convention mine = mean sum mean d beta/2" in caught.value.expected
    assert "beta/3" in caught.value.received


def test_an_option_may_name_a_convention_of_the_file(tmp_path: Path) -> None:
    """--loss mine works, and a misspelt one is told the nearest of its own, too."""
    experiment(tmp_path)
    assert {run.loss for run in read(tmp_path / "own.toml", {"loss": "mine"}).runs()} == {"mine"}
    with pytest.raises(ExperimentError) as caught:
        read(tmp_path / "own.toml", {"loss": "minne"})
    assert caught.value.where == "--loss"
    assert caught.value.remedy == "did you mean 'mine'?"


MALICIOUS = (
    "__import__('os').system('touch {canary}')",
    "open('{canary}', 'w')",
    "[].__class__.__base__.__subclasses__()",
    "(lambda: 1)()",
    "exec('1')",
    "beta if d else k",
    "d := 3",
    "f'{{d}}'",
    "9**9**9**9",
    "beta*10**17**2",
    "epoch*beta",
    "1e999*beta",
    "((((((((((",
    "beta/(d-d)",
    "-beta",
    "",
)


@pytest.mark.parametrize("formula", MALICIOUS)
def test_a_formula_that_is_no_arithmetic_is_refused_where_it_stands(
    formula: str, tmp_path: Path
) -> None:
    """Nothing is executed, and the error names file, line and key."""
    canary = tmp_path / "canary"
    text = formula.format(canary=canary)
    with pytest.raises(ExperimentError, match="kl_factor") as caught:
        experiment(tmp_path, text)
    if formula:
        assert caught.value.where == f"{tmp_path / 'own.toml'}, line 7"
    assert not canary.exists()


@given(text=st.text(max_size=40))
def test_any_text_is_a_formula_or_a_usage_error(text: str) -> None:
    """The parser never fails in another way."""
    try:
        found = evaluate(text, {"d": 7, "k": 3, "B": 5, "N": 11, "beta": 2})
    except UsageError:
        return
    assert isinstance(found, Fraction)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (("[convention.mine]", "[convention.blog]"), "cannot be called 'blog'"),
        (("[convention.mine]", "[convention.keras-io]"), "cannot be called 'keras-io'"),
        (("over_latents", "over_latent"), "unknown key `over_latent`"),
        (('over_inputs = "mean"\n', ""), "`over_inputs` is missing"),
        (('"sum"', '"median"'), "`over_latents` has a value"),
        (('"d"', "784"), "`reconstruction_factor` has a value"),
        (('"d"', '"d*beta"'), "has beta in a place"),
        (('"d"', '"0"'), "coefficients that cannot be trained"),
        (('"beta/2"', '"beta**2"'), "has beta in a place"),
        (('"beta/2"', '"1 + beta"'), "has beta in a place"),
    ],
)
def test_a_table_that_is_no_convention_says_what_is_wrong(
    change: tuple[str, str], problem: str, tmp_path: Path
) -> None:
    """Every error names the file and a line of it."""
    file = tmp_path / "own.toml"
    file.write_text(MINE.format(kl_factor="beta/2").replace(*change))
    with pytest.raises(ExperimentError, match=problem) as caught:
        read(file)
    assert caught.value.where.startswith(f"{file}, line ")


def test_no_row_is_far_from_what_float32_can_hold() -> None:
    """At the published sizes a is an ordinary number."""
    for row in catalogue().values():
        found = row.convention.coefficients(completed(row.sizes), 1)
        assert 1e-12 < float(found.a) < 1e12
