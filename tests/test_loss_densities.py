"""Every likelihood against scipy's, at the edges, and its thresholds against a numeric Hessian."""

import math
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal, localcontext

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from scipy.optimize import minimize
from scipy.special import expit, softmax

from lossbench.loss import (
    LIKELIHOODS,
    Categorical,
    Gaussian,
    Likelihood,
    Mixed,
    NegativeBinomial,
    group_sizes,
)
from lossbench.theory import first_direction, moments, thresholds

Floats = NDArray[np.float64]
D = 6


def _groups(kind: Likelihood, numbers: Floats) -> list[Floats]:
    return np.split(numbers, np.cumsum(kind.choices(numbers.shape[-1]))[:-1], axis=-1)


def decoded(kind: Likelihood, logits: Floats) -> Floats:
    """Return x_hat of a decoder's last numbers."""
    if kind.output == "parts":
        parts = zip(MIXED, np.split(logits, 3, axis=-1), strict=True)
        return np.concatenate([decoded(KINDS[name], x) for name, x in parts], axis=-1)
    if kind.output == "softmax":
        return np.concatenate([softmax(x, axis=-1) for x in _groups(kind, logits)], axis=-1)
    return {"values": lambda x: x, "sigmoid": expit, "exponential": np.exp}[kind.output](logits)


KINDS = {
    "bce": LIKELIHOODS["bce"],
    "mse": LIKELIHOODS["mse"],
    "gaussian": replace(LIKELIHOODS["gaussian"], sigma=0.3),
    "laplace": replace(LIKELIHOODS["laplace"], sigma=0.3),
    "continuous_bernoulli": LIKELIHOODS["continuous_bernoulli"],
    "poisson": LIKELIHOODS["poisson"],
    "negative_binomial": replace(LIKELIHOODS["negative_binomial"], dispersion=1.7),
    "categorical": Categorical("1-2+3-6"),
    "multinomial": LIKELIHOODS["multinomial"],
    "mixed": Mixed(sigma=0.3, dispersion=1.7, groups="gaussian:1-2+categorical:3-4+poisson:5-6"),
}
KINDS["two"] = Categorical("2")  # a part of the mixed one
MIXED = ("gaussian", "two", "poisson")
every = pytest.mark.parametrize("kind", [KINDS[name] for name in LIKELIHOODS], ids=LIKELIHOODS)


def _with_lambda(x: Floats, coin: Floats) -> Floats:
    """Return the log density of the continuous Bernoulli: that of a truncated exponential."""
    rate = np.log(coin) - np.log1p(-coin)
    flipped = rate > 0  # scipy's falls
    fall = np.abs(rate)
    return np.asarray(
        stats.truncexpon.logpdf(np.where(flipped, 1 - x, x), b=fall, scale=1 / fall)
    ).sum(axis=-1)


LOG_PROBABILITIES: dict[str, Callable[[Floats, Floats], Floats]] = {
    "bce": lambda x, p: stats.bernoulli.logpmf(x, p).sum(axis=-1),
    "mse": lambda x, m: (
        stats.norm.logpdf(x, m, math.sqrt(0.5)).sum(axis=-1) + D / 2 * math.log(math.pi)
    ),
    "gaussian": lambda x, m: stats.norm.logpdf(x, m, 0.3).sum(axis=-1),
    "laplace": lambda x, m: stats.laplace.logpdf(x, m, 0.3).sum(axis=-1),
    "continuous_bernoulli": _with_lambda,
    "poisson": lambda x, m: stats.poisson.logpmf(x, m).sum(axis=-1),
    "negative_binomial": lambda x, m: stats.nbinom.logpmf(x, 1.7, 1.7 / (1.7 + m)).sum(axis=-1),
    "categorical": lambda x, p: (
        stats.multinomial.logpmf(x[:, :2], 1, p[:, :2])
        + stats.multinomial.logpmf(x[:, 2:], 1, p[:, 2:])
    ),
    "multinomial": lambda x, p: np.array(
        [stats.multinomial.logpmf(row, row.sum(), q / q.sum()) for row, q in zip(x, p, strict=True)]
    ),
    "mixed": lambda x, m: (
        stats.norm.logpdf(x[:, :2], m[:, :2], 0.3).sum(axis=-1)
        + stats.multinomial.logpmf(x[:, 2:4], 1, m[:, 2:4])
        + stats.poisson.logpmf(x[:, 4:], m[:, 4:]).sum(axis=-1)
    ),
}


def drawn(kind: Likelihood, n: int = 40, seed: int = 0) -> Floats:
    """Return small data that a likelihood can have: ``(n, 6)``, with directions that differ."""
    generator = np.random.default_rng(seed)
    if kind.output == "parts":
        parts = zip(MIXED, range(3), strict=True)
        columns = [drawn(KINDS[name], n, seed)[:, 2 * part : 2 * part + 2] for name, part in parts]
        return np.concatenate(columns, axis=1)
    numbers = generator.standard_normal((n, D)) + 1.5 * generator.standard_normal((n, 1))
    if kind.output == "softmax" and isinstance(kind, Categorical):
        ranks = [x.argmax(axis=1) for x in _groups(kind, numbers)]
        parts = zip(kind.choices(D), ranks, strict=True)
        return np.concatenate([np.eye(size)[rank] for size, rank in parts], axis=1)
    if kind.counts:
        return generator.poisson(np.exp(0.5 + 0.5 * numbers)).astype(np.float64)
    if kind.name == "bce":
        return (numbers > 0).astype(np.float64)
    return expit(numbers)


def test_every_likelihood_is_held_against_scipy() -> None:
    """A new one needs a line here."""
    assert KINDS.keys() - {"two"} == LOG_PROBABILITIES.keys() == LIKELIHOODS.keys()


@every
def test_r_is_the_negative_log_probability(kind: Likelihood) -> None:
    """Of small random data, for what decoders give."""
    x = drawn(kind)
    x_hat = decoded(kind, 2 * np.random.default_rng(1).standard_normal(x.shape))
    truth = LOG_PROBABILITIES[kind.name](x, x_hat)
    assert kind.reconstruction(x, x_hat) == pytest.approx(-truth, rel=1e-9)
    assert kind.misfit(x) is None


@pytest.mark.parametrize("logit", [0.0, 1e-9, 1e-6, 1e-3, 0.0199, 0.0201, 0.5, 5.0])
def test_the_continuous_bernoulli_is_smooth_about_one_half(logit: float) -> None:
    """Where both ways to write its constant meet, either side of 1/2, by exact series."""
    kind = KINDS["continuous_bernoulli"]
    for sign in (1, -1):
        with localcontext(prec=60):
            slope = Decimal(sign * logit)
            exact = ((slope.exp() - 1) / slope).ln() - slope * Decimal("0.3") if logit else 0
        found = kind.reconstruction(np.array([0.3]), expit(np.array([sign * logit])))
        assert float(found) == pytest.approx(float(exact), rel=1e-6, abs=1e-15)


@every
def test_the_edges_are_finite(kind: Likelihood) -> None:
    """Logits of 100 either way, and the rates and probabilities of exactly 0 that follow."""
    x = drawn(kind)
    for size in (100.0, 1000.0):
        logits = np.where(np.arange(D) % 2, size, -size) * np.ones_like(x)
        with np.errstate(over="ignore"):
            x_hat = np.minimum(decoded(kind, logits), 1e300)
        assert np.isfinite(kind.reconstruction(x, x_hat)).all()


@every
def test_nothing_is_the_best_of_all_that_are_shared(kind: Likelihood) -> None:
    """R_0 by an optimiser over the decoder's numbers, and by the formula."""
    x = drawn(kind)
    truth = minimize(
        lambda logits: float(kind.reconstruction(x, decoded(kind, logits)).mean()),
        np.zeros(D) if kind.name != "laplace" else kind.nothing(x),
        method="Nelder-Mead" if kind.name == "laplace" else "BFGS",
        tol=1e-9,
        options={"maxiter": 4000},
    )
    found = kind.of_nothing(x, kind.nothing(x))
    assert found == pytest.approx(truth.fun, rel=1e-6, abs=1e-6)
    whole = kind.reconstruction(x, np.tile(kind.nothing(x), (len(x), 1))).mean()
    assert found == pytest.approx(whole, rel=1e-9, abs=1e-9)


def second_derivative(f: Callable[[float, float], float], h: float = 0.02) -> float:
    """Return the mixed second derivative at 0, 0 of f, to the eighth order in h."""
    weights = {1: 4 / 5, 2: -1 / 5, 3: 4 / 105, 4: -1 / 280}
    signed = {sign * i: sign * w for i, w in weights.items() for sign in (1, -1)}
    return sum(u * v * f(i * h, j * h) for i, u in signed.items() for j, v in signed.items()) / h**2


def brute_thresholds(kind: Likelihood, x: Floats) -> Floats:
    """Return the thresholds from a numeric Hessian of the collapsed solution.

    One latent of mean mu_i for example i and unit noise; its decoder's numbers are eta + w z,
    with eta those of nothing. F = mean R + beta/2 mean mu^2 + ... has the Hessian
    [[beta/n, B], [B^T, H]] in mu and w: it is positive exactly if beta is above every eigenvalue of
    n B H^+ B^T.
    """
    n = len(x)
    nothing = kind.nothing(x)
    inverse: dict[str, Callable[[Floats], Floats]] = {
        "values": lambda m: m,
        "sigmoid": lambda m: np.log(m) - np.log1p(-m),
    }
    if kind.output == "parts":
        eta = np.concatenate([nothing[:2], np.log(nothing[2:])])
    else:
        eta = inverse.get(kind.output, np.log)(nothing)
    nodes, node_weights = np.polynomial.hermite_e.hermegauss(12)
    node_weights = node_weights / node_weights.sum()

    def cost(rows: Floats, along: Floats) -> float:
        return float(kind.reconstruction(rows, decoded(kind, eta + along)).sum()) / n

    unit = np.eye(D)
    crossed = np.array(
        [
            [
                # mean over the noise of R at w (mu + noise) is, to second order, R at w mu
                second_derivative(lambda mu, w, i=i, j=j: cost(x[i], mu * w * unit[j]))
                for j in range(D)
            ]
            for i in range(n)
        ]
    )
    tiled = np.broadcast_to(eta, x.shape)

    def noisy(step: Floats) -> float:
        return sum(
            float(w) * float(kind.reconstruction(x, decoded(kind, tiled + node * step)).mean())
            for node, w in zip(nodes, node_weights, strict=True)
        )

    h = 0.02
    weights = {0: -205 / 72, 1: 8 / 5, 2: -1 / 5, 3: 8 / 315, 4: -1 / 560}

    def curvature(direction: Floats) -> float:
        total = weights[0] * noisy(0 * direction)
        total += sum(2 * weights[i] * noisy(i * h * direction) for i in range(1, 5))
        return total / h**2

    single = np.array([curvature(unit[j]) for j in range(D)])
    hessian = np.diag(single)
    for i in range(D):
        for j in range(i):
            both = curvature(unit[i] + unit[j])
            hessian[i, j] = hessian[j, i] = (both - single[i] - single[j]) / 2
    inner = crossed.T @ crossed * n
    roots, vectors = np.linalg.eigh(hessian)
    kept = roots > 1e-6 * roots.max()
    root = vectors[:, kept] / np.sqrt(roots[kept])
    return np.sort(np.linalg.eigvalsh(root.T @ inner @ root))[::-1]


@pytest.mark.parametrize(
    "kind",
    [KINDS[name] for name in LIKELIHOODS if not KINDS[name].no_threshold],
    ids=lambda kind: kind.name,
)
def test_the_thresholds_are_those_of_a_numeric_hessian(kind: Likelihood) -> None:
    """V by brute force, to 1e-6, and the variance of the data along the first direction is t_1."""
    x = drawn(kind, n=12, seed=4)
    known = moments(x)
    found = np.linalg.eigvalsh(kind.whitened(known.mean, np.cov(x.T, bias=True), known.varies))
    brute = brute_thresholds(kind, x)
    assert found[::-1][: len(brute)] == pytest.approx(brute, rel=1e-6, abs=1e-7)
    assert found[: D - len(brute)] == pytest.approx(0, abs=1e-9)
    first = first_direction(x, known, kind)
    assert first is not None
    assert first.n_carrying > 1


def test_the_thresholds_of_a_learned_sigma_are_those_of_a_numeric_hessian() -> None:
    """A shared sigma is the data's, constant inputs counted; each its own leaves correlations.

    At the collapsed solution sigma and the decoder's outputs do not mix to second order.
    """
    x = drawn(KINDS["gaussian"], n=12, seed=4) * np.array([1, 2, 0.5, 3, 1, 1])
    known = moments(x)
    shared = np.sqrt(x.var(axis=0).mean())
    brute = brute_thresholds(Gaussian(sigma=float(shared)), x)
    for how in ("learned", "optimal"):
        assert thresholds(known, Gaussian(sigma=how)) == pytest.approx(brute, rel=1e-5)  # type: ignore[arg-type]
    own = thresholds(known, Gaussian(sigma="learned_per_input"))
    assert own == pytest.approx(brute_thresholds(Gaussian(), x / x.std(axis=0)), rel=1e-5)
    wider = moments(np.hstack([x, np.zeros((12, 6))]))
    assert thresholds(wider, Gaussian(sigma="learned"))[:6] == pytest.approx(2 * brute, rel=1e-5)
    assert thresholds(wider, Gaussian(sigma="learned_per_input")) == pytest.approx(own, rel=1e-5)


@every
def test_a_threshold_is_told_or_it_is_told_why_not(kind: Likelihood) -> None:
    """Laplace and the continuous Bernoulli have a reason."""
    if kind.no_threshold:
        assert kind.name in kind.no_threshold
        with pytest.raises(ValueError, match=kind.name):
            kind.variance(np.ones(3), np.ones(3))
    else:
        assert kind.variance(np.full(D, 0.25), np.ones(D)).shape == (D,)


def test_a_gaussian_is_mse_at_another_weight() -> None:
    """Its thresholds are those of mse divided by 2 sigma^2."""
    x = drawn(KINDS["gaussian"])
    known = moments(x)
    of = [
        KINDS[k].whitened(known.mean, known.covariance, known.varies) for k in ("gaussian", "mse")
    ]
    np.testing.assert_allclose(of[0] * 2 * 0.3**2, of[1])


@pytest.mark.parametrize(
    ("name", "x", "place", "received"),
    [
        ("bce", [[0, 1], [0.5, 1.5]], (1, 1), "1.5"),
        ("continuous_bernoulli", [[0, 1], [-0.5, 0]], (1, 0), "-0.5"),
        ("poisson", [[3, 1], [0, 2.5]], (1, 1), "2.5"),
        ("negative_binomial", [[3, -1], [0, 2]], (0, 1), "-1"),
        ("multinomial", [[3, 1], [0, 0.5]], (1, 1), "0.5"),
        ("categorical", [[1, 0], [1, 1]], (1, 0), "a group with 2"),
        ("categorical", [[1, 0], [0, 0]], (1, 0), "a group with none"),
        ("categorical", [[1, 0], [2, -1]], (1, 0), "2"),
        ("categorical", [[1, 0, 0]], (None, None), "groups = '2': groups of 2 columns"),
    ],
)
def test_a_value_that_cannot_be_is_found(
    name: str, x: list[list[float]], place: tuple[int | None, int | None], received: str
) -> None:
    """With its row and column, counted from 0."""
    kind = Categorical("2") if name == "categorical" else LIKELIHOODS[name]
    misfit = kind.misfit(np.array(x))
    assert misfit is not None
    assert (misfit.row, misfit.column) == place
    assert misfit.received.startswith(received)


def test_groups_are_a_size_or_ranges_that_follow_each_other() -> None:
    """Anything else is refused in words."""
    assert group_sizes("4", 8) == group_sizes("1-4+5-8", 8) == (4, 4)
    for wrong in ("", "3", "9", "0", "1-4", "1-4+6-8", "1-4+5-9", "4+4", "1-0+1-8", "a-b"):
        with pytest.raises(ValueError, match="group"):
            group_sizes(wrong, 8)


@pytest.mark.parametrize("r", [0.5, 3.0])
def test_a_dispersion_is_fitted_at_the_mean_as_scipy_would(r: float) -> None:
    """By brute force over scipy's probabilities; on data that are drawn so, it is nearly r."""
    rng = np.random.default_rng(0)
    mean = np.array([0.5, 4.0, 30.0])
    x = rng.negative_binomial(r, r / (r + mean), size=(4_000, 3)).astype(np.float64)
    own = x.mean(axis=0)

    def cost(log_r: Floats) -> float:
        each = math.exp(log_r[0])
        return -float(stats.nbinom.logpmf(x, each, each / (each + own)).sum(axis=1).mean())

    least = minimize(cost, [0.0], method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-12})
    kind = NegativeBinomial(dispersion="learned")
    fitted = kind.fitted(x)
    assert fitted.dispersion == pytest.approx(math.exp(least.x[0]), rel=1e-4)
    assert fitted.dispersion == pytest.approx(r, rel=0.1)
    assert kind.reconstruction_of_nothing(x, x) == pytest.approx(least.fun, rel=1e-9)
    known = moments(x)
    brute = np.linalg.eigvalsh(
        known.covariance / np.sqrt(np.outer(*[own + own**2 / fitted.number] * 2))
    )
    assert thresholds(known, fitted) == pytest.approx(brute[::-1], rel=1e-4)
