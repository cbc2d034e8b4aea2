"""The algebra: coefficients and formulas, against what they claim to say."""

import contextlib
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lossbench.errors import UsageError
from lossbench.loss import Convention, Sizes, convention
from lossbench.loss.formula import evaluate, exact

_SIZES = st.builds(Sizes, d=st.integers(1, 10**6), k=st.integers(1, 10**4))
_WEIGHTS = st.fractions(0, 10**6, max_denominator=10**6)
_LOSSES = st.sampled_from(["blog", "docs"])


class _Batch:
    """Random images, reconstructions and latents, with R and K per image by their formulas."""

    def __init__(self, d: int, k: int, n: int = 7) -> None:
        generator = np.random.default_rng([d, k])
        self.x, self.decoded = generator.uniform(0.01, 0.99, (2, n, d))
        self.mean, self.log_var = generator.normal(size=(2, n, k))

    def per_pixel(self, kind: str) -> NDArray[np.float64]:
        if kind == "mse":
            return (self.x - self.decoded) ** 2
        return -self.x * np.log(self.decoded) - (1 - self.x) * np.log(1 - self.decoded)

    @property
    def per_latent(self) -> NDArray[np.float64]:
        return -0.5 * (1 + self.log_var - self.mean**2 - np.exp(self.log_var))


# A loss is a*R + b*K.


@pytest.mark.parametrize("kind", ["bce", "mse"])
@pytest.mark.parametrize(("d", "k", "beta"), [(784, 2, 1.0), (16, 8, 0.3), (5, 5, 4.0)])
def test_the_algebra_is_the_loss_that_the_keras_blog_writes(
    kind: str, d: int, k: int, beta: float
) -> None:
    """Mean over pixels plus beta times the mean over latents is a*R + b*K."""
    batch = _Batch(d, k)
    per_sample = batch.per_pixel(kind).mean(axis=1) + beta * batch.per_latent.mean(axis=1)
    assert _objective("blog", batch, kind, beta) == pytest.approx(per_sample.mean(), rel=1e-12)


@pytest.mark.parametrize("kind", ["bce", "mse"])
@pytest.mark.parametrize(("d", "k", "beta"), [(784, 2, 1.0), (16, 8, 0.3), (5, 5, 4.0)])
def test_the_algebra_is_the_loss_that_the_keras_documentation_writes(
    kind: str, d: int, k: int, beta: float
) -> None:
    """original_dim times the mean over pixels plus beta times the summed KL is a*R + b*K."""
    batch = _Batch(d, k)
    per_sample = d * batch.per_pixel(kind).mean(axis=1) + beta * batch.per_latent.sum(axis=1)
    assert _objective("docs", batch, kind, beta) == pytest.approx(per_sample.mean(), rel=1e-12)


def _objective(loss: str, batch: _Batch, kind: str, beta: float) -> float:
    d, k = batch.x.shape[1], batch.mean.shape[1]
    reconstruction = float(batch.per_pixel(kind).sum(axis=1).mean())
    kl = float(batch.per_latent.sum(axis=1).mean())
    objective = convention(loss).coefficients(Sizes(d, k), beta)
    return float(objective.value(Fraction(reconstruction), Fraction(kl)))


def test_a_loss_summed_over_the_batch_is_n_times_its_mean() -> None:
    """With over_batch "sum" both coefficients take the batch size, and the optimum stays."""
    summed = Convention("s", "s", over_inputs="sum", over_latents="mean", over_batch="sum")
    batch = _Batch(6, 4, n=9)
    brute_force = (batch.per_pixel("mse").sum(axis=1) + 2 * batch.per_latent.mean(axis=1)).sum()
    objective = summed.coefficients(Sizes(6, 4, batch_size=9), 2)
    terms = (batch.per_pixel("mse").sum(axis=1).mean(), batch.per_latent.sum(axis=1).mean())
    assert float(objective.value(*map(Fraction, terms))) == pytest.approx(brute_force, rel=1e-12)
    assert objective.beta_eff == Fraction(2, 4)


def test_a_formula_that_needs_an_unknown_size_names_it() -> None:
    """A factor in N cannot be evaluated before the data is known, and says so."""
    scaled = Convention("s", "s", over_inputs="sum", over_latents="sum", kl_factor="B/N")
    with pytest.raises(UsageError, match="needs N, the number of training images"):
        scaled.coefficients(Sizes(6, 4, batch_size=9), 1)
    assert scaled.coefficients(Sizes(6, 4, 9, n_images=90), 1).b == Fraction(1, 10)


def test_a_conventions_own_weight_is_multiplied_by_the_sweeps() -> None:
    """In a formula beta is the convention's default; the weight that is asked for multiplies b."""
    weighed = Convention(
        "w", "w", over_inputs="sum", over_latents="sum", kl_factor="3*beta", default_beta=0.1
    )
    assert weighed.coefficients(Sizes(6, 4), 5).b == Fraction(15, 10)


# The two losses of the seed question against each other.


@given(sizes=_SIZES, beta=_WEIGHTS)
def test_the_blogs_loss_is_the_documentations_at_beta_d_over_k_divided_by_d(
    sizes: Sizes, beta: Fraction
) -> None:
    """blog(beta) = docs(beta*d/k) / d, exactly, at any size."""
    blog = convention("blog").coefficients(sizes, beta)
    docs = convention("docs").coefficients(sizes, beta * sizes.d / sizes.k)
    assert (blog.a, blog.b) == (docs.a / sizes.d, docs.b / sizes.d)


@given(sizes=_SIZES, beta=_WEIGHTS.filter(bool))
@example(sizes=Sizes(d=7, k=7), beta=Fraction(1))
@example(sizes=Sizes(d=7, k=6), beta=Fraction(1))
def test_the_first_loss_is_the_second_divided_by_d_only_where_k_is_d(
    sizes: Sizes, beta: Fraction
) -> None:
    """The usual answer, at equal beta, holds for k = d and for no other k."""
    blog = convention("blog").coefficients(sizes, beta)
    docs = convention("docs").coefficients(sizes, beta)
    divided = (docs.a / sizes.d, docs.b / sizes.d)
    assert ((blog.a, blog.b) == divided) == (sizes.k == sizes.d)
    assert (blog.beta_eff == docs.beta_eff) == (sizes.k == sizes.d)


def test_the_blogs_loss_on_mnist_with_two_latents_is_a_beta_vae_with_beta_392() -> None:
    """The design's own example."""
    sizes = Sizes(d=784, k=2)
    assert convention("blog").coefficients(sizes, 1).beta_eff == 392
    assert convention("blog").beta(1, sizes) == Fraction(2, 784)
    assert convention("docs").beta(392, sizes) == 392


@given(loss=_LOSSES, sizes=_SIZES, beta_eff=_WEIGHTS)
def test_the_beta_that_gives_a_beta_eff_gives_it_exactly(
    loss: str, sizes: Sizes, beta_eff: Fraction
) -> None:
    """beta_eff -> beta -> beta_eff is the identity in every convention."""
    beta = convention(loss).beta(beta_eff, sizes)
    assert convention(loss).coefficients(sizes, beta).beta_eff == beta_eff


@given(loss=_LOSSES, sizes=_SIZES, beta=st.floats(0, 1e12))
def test_a_float_counts_as_the_decimal_that_it_prints(loss: str, sizes: Sizes, beta: float) -> None:
    """A beta of 0.1 is a tenth, not its binary neighbour, and comes back as the same float."""
    coefficients = convention(loss).coefficients(sizes, beta)
    assert float(convention(loss).beta(coefficients.beta_eff, sizes)) == beta
    assert exact(0.1) == Fraction(1, 10)


def test_a_numpy_float_is_as_good_as_a_plain_one() -> None:
    """Numbers that come out of a table or an array are numbers, too."""
    assert exact(np.float64(0.1)) == Fraction(1, 10)


def test_an_unknown_loss_is_refused_with_the_nearest_name() -> None:
    """A slip of the pen is answered with the loss that was meant."""
    with pytest.raises(UsageError) as caught:
        convention("bloog")
    assert caught.value.remedy == "did you mean 'blog'?"
    assert "docs" in caught.value.expected


# Formulas: arithmetic and nothing else.

_SYMBOLS = {"d": 784, "k": 2, "B": 128, "N": 60_000, "beta": Fraction(1, 2)}
_NOT_ARITHMETIC = (
    "",
    " ",
    "x",
    "dd",
    "D",
    "__import__('pathlib').Path('executed').touch()",
    "print(d)",
    "abs(d)",
    "d()",
    "d.real",
    "d.__class__",
    "(1).bit_length",
    "'d'",
    "b'd'",
    "f'{d}'",
    "True",
    "d*True",
    "None",
    "...",
    "1j",
    "d == k",
    "d < k",
    "d and k",
    "not d",
    "~d",
    "d if k else 1",
    "lambda: d",
    "(d := 3)",
    "d = 3",
    "d; k",
    "d, k",
    "[d]",
    "{d: k}",
    "{d}",
    "[d for d in (1, 2)]",
    "(d)[0]",
    "*d",
    "d // k",
    "d % k",
    "d << 40",
    "d | k",
    "d @ k",
    "d k",
    "2d",
    "d +",
    "d)",
    "await d",
    "import os",
    "1e999",
    "-1e999",
    "1e999 - 1e999",
    "d ** 0.5",
    "d ** (1/2)",
    "d ** 17",
    "d ** -17",
    "9**9**9",
    "9**9**9**9",
    "2**(9**16)",
    "(((9**16)**16)**16)**16",
    "((1/9**16)**16)**16",
    "((d**16)**16)**16",
    "1/0",
    "d/(k - 2)",
    "0**-1",
    "(" * 5000 + "d" + ")" * 5000,
    "-" * 5000 + "d",
    "d" + "+d" * 50_000,
    "1" * 100_000,
    "(" * 90 + "d",
    "d\0",
    "\ud800",
    "d\nk",
    "#d",
    "\\",
    "²",
)


@pytest.mark.parametrize("formula", _NOT_ARITHMETIC, ids=lambda text: ascii(text[:30]))
def test_a_formula_that_is_not_arithmetic_is_refused_at_once(
    formula: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names, calls, text, comparisons, huge powers and endless nesting are errors, never run."""
    monkeypatch.chdir(tmp_path)
    started = time.perf_counter()
    with pytest.raises(UsageError) as caught:
        evaluate(formula, _SYMBOLS)
    assert time.perf_counter() - started < 1
    assert not (tmp_path / "executed").exists()
    assert len(str(caught.value)) < 1000


def test_a_refused_formula_shows_where_it_stops_being_arithmetic() -> None:
    """The column of the first thing that is not allowed is named."""
    with pytest.raises(UsageError, match="'sqrt\\(k\\)' at column 3"):
        evaluate("d*sqrt(k)", _SYMBOLS)


@settings(deadline=None)
@given(st.text(alphabet="dkBNbeta0123456789+-*/(). eE_'\"[]{}:,=<>!@%&|^~\\\n\t\0#jx", max_size=60))
def test_any_text_is_a_number_or_a_usage_error(text: str) -> None:
    """No text makes the parser fail in another way."""
    with contextlib.suppress(UsageError):
        assert isinstance(evaluate(text, _SYMBOLS), Fraction)


_LEAVES = st.sampled_from(list(_SYMBOLS.items())) | st.integers(0, 10**6).map(
    lambda number: (str(number), number)
)


def _grown(inner: st.SearchStrategy[tuple[str, Fraction]]) -> st.SearchStrategy:
    sums = st.tuples(inner, st.sampled_from("+-*"), inner).map(
        lambda parts: (
            f"({parts[0][0]}{parts[1]}{parts[2][0]})",
            {"+": Fraction.__add__, "-": Fraction.__sub__, "*": Fraction.__mul__}[parts[1]](
                Fraction(parts[0][1]), Fraction(parts[2][1])
            ),
        )
    )
    quotients = (
        st.tuples(inner, inner)
        .filter(lambda parts: parts[1][1] != 0)
        .map(lambda p: (f"({p[0][0]} / {p[1][0]})", Fraction(p[0][1]) / Fraction(p[1][1])))
    )
    negatives = inner.map(lambda part: (f"(-{part[0]})", -Fraction(part[1])))
    squares = inner.map(lambda part: (f"({part[0]})**2", Fraction(part[1]) ** 2))
    return sums | quotients | negatives | squares


@settings(deadline=None)
@given(st.recursive(_LEAVES, _grown, max_leaves=6).filter(lambda part: len(part[0]) <= 200))
def test_arithmetic_is_evaluated_exactly(case: tuple[str, Fraction]) -> None:
    """A formula built from known parts has the value of the same operations on fractions."""
    formula, value = case
    assert evaluate(formula, _SYMBOLS) == value


def test_powers_bind_as_in_python() -> None:
    """-d**2 is -(d**2), and a chain of powers is read from the right."""
    assert evaluate("-d**2", {"d": 3}) == -9
    assert evaluate("2**3**2", {}) == 512
    assert evaluate("d**-2", {"d": 3}) == Fraction(1, 9)
    assert evaluate("1 - 2 - 3*4/8", {}) == Fraction(-5, 2)
