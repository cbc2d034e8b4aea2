"""The audit: what a loss trains is read off its answers, whatever it is written in."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from audited.bugs import BUGS, right
from audited.literal import LITERAL, numpy_loss, tensorflow_loss, torch_loss
from conftest import Note, trials
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lossbench.audit import Audit, examine
from lossbench.audit.loading import from_function
from lossbench.conventions import Sizes, catalogue, convention

Loss = Callable[..., Any]
SIZES = Sizes(d=48, k=5, batch_size=7, n_images=1000)
THIRD = sorted(LITERAL)[::3]


def audited(loss: Loss, sizes: Sizes, shape: tuple[int, ...] = (), **settings: Any) -> Audit:
    """Audit a function in this process."""
    asked = from_function(loss, getattr(loss, "__name__", ""), {}, settings)
    found = asked.found  # type: ignore[attr-defined]
    return examine(asked, found, sizes, shape or (sizes.d or 0,), settings)


def codes(audit: Audit) -> set[str]:
    """Return the codes of what was found."""
    return {finding.code for finding in audit.findings}


def check_against_the_catalogue(name: str, audit: Audit) -> None:
    """Hold an audit against the row's own formulas: coefficients, reductions and name."""
    row = catalogue()[name]
    expected = convention(name).coefficients(SIZES, 1)
    assert audit.a.value == pytest.approx(float(expected.a), rel=1e-3)
    assert audit.b.value == pytest.approx(float(expected.b), rel=1e-3)
    assert audit.beta_eff.value == pytest.approx(float(expected.beta_eff), rel=1e-3)
    kind = "mse" if row.reconstruction == "gaussian_fixed_sigma" else row.reconstruction
    assert audit.reconstruction == kind
    factor = row.convention.reconstruction_factor
    over_inputs = "sum" if factor == "d" else row.convention.over_inputs
    assert audit.over_inputs == over_inputs
    if expected.b and row.convention.kl_factor != "1/d":
        assert audit.over_latents == row.convention.over_latents
    if "B" not in factor:
        assert audit.over_batch == row.convention.over_batch
    if expected.b:
        assert audit.match is not None
        assert audit.match.same
        assert audit.match.scale == pytest.approx(1, rel=1e-3)
        there = convention(audit.match.name).coefficients(SIZES, audit.match.beta)
        assert float(there.beta_eff) == pytest.approx(float(expected.beta_eff), rel=1e-3)
    assert codes(audit) <= {"batch_dependence", "kl_missing"}


def test_the_test_bed_is_the_whole_catalogue() -> None:
    """Every convention that is a*R + b*K has its literal text."""
    assert set(LITERAL) == {name for name, row in catalogue().items() if row.trainable}


@pytest.mark.parametrize("name", LITERAL)
def test_a_loss_of_the_catalogue_in_numpy_is_recognised(name: str) -> None:
    """Coefficients to 0.1%, the reductions and the convention."""
    check_against_the_catalogue(name, audited(numpy_loss(name), SIZES))


@pytest.mark.slow
@pytest.mark.parametrize("name", THIRD)
def test_a_loss_of_the_catalogue_in_torch_is_recognised(name: str) -> None:
    """A third of them, in PyTorch."""
    import torch  # noqa: F401, PLC0415 - a loss's library counts once it is loaded

    audit = audited(torch_loss(name), SIZES)
    check_against_the_catalogue(name, audit)


@pytest.mark.slow
@pytest.mark.parametrize("name", THIRD)
def test_a_loss_of_the_catalogue_in_tensorflow_is_recognised(name: str) -> None:
    """A third of them, in TensorFlow."""
    import tensorflow  # noqa: F401, PLC0415 - a loss's library counts once it is loaded

    check_against_the_catalogue(name, audited(tensorflow_loss(name), SIZES))


@pytest.mark.parametrize("name", BUGS)
def test_a_known_bug_is_named_and_its_twin_is_not_blamed(name: str) -> None:
    """At d = 196 and k = 4; the twin differs in nothing but the bug."""
    bug, twin, code = BUGS[name]
    sizes = Sizes(d=196, k=4, batch_size=128, n_images=60_000)
    assert code in codes(audited(bug, sizes))
    assert codes(audited(twin, sizes)) == set()


def test_the_blogs_loss_is_told_with_what_it_means_and_what_to_change() -> None:
    """At MNIST's sizes: beta 392, collapse up to k = 24, the KL times k/d."""
    audit = audited(numpy_loss("blog"), Sizes(784, 2, 128, 60_000))
    assert (audit.a.formula, audit.b.formula) == ("1/d", "beta/k")
    assert audit.beta_eff.formula == "beta*d/k"
    assert audit.meaning[0].startswith("Your loss is blog")
    assert "documentation's loss with beta 392, divided by 784" in audit.meaning[1]
    assert audit.collapse is not None
    assert (audit.collapse.collapses, audit.collapse.critical_k) == (True, 24)
    assert "multiply the KL by k/(beta*d), or sum both terms" in audit.change


@st.composite
def cases(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a convention, its sizes and what the function returns."""
    over_batch = draw(st.sampled_from(["sum", "mean"]))
    return {
        "kind": draw(st.sampled_from(["bce", "bce_logits", "mse", "l1"])),
        "over_inputs": draw(st.sampled_from(["sum", "mean"])),
        "over_latents": draw(st.sampled_from(["sum", "mean"])),
        "over_batch": over_batch,
        "factor": draw(st.sampled_from([1.0, 0.5, 0.013, 30.5])),
        "beta": float(f"{10 ** draw(st.floats(-3, 3)):.3g}") + 0.0001,
        "by_argument": draw(st.booleans()),
        "returns": draw(st.sampled_from(["scalar", "samples", "tuple", "dict"])),
        "d": draw(st.integers(2, 40)),
        "k": draw(st.integers(1, 12)),
        "B": draw(st.integers(1, 40)),
    }


def loss_of(case: dict[str, Any]) -> Loss:
    """Return a random convention as a function, written with loops over nothing but NumPy."""

    def per_image(x: Any, x_hat: Any, mu: Any, log_var: Any) -> tuple[Any, Any]:
        if case["kind"] == "bce":
            p = np.clip(x_hat, 1e-7, 1 - 1e-7)
            r = -(x * np.log(p) + (1 - x) * np.log(1 - p))
        elif case["kind"] == "bce_logits":
            r = np.maximum(x_hat, 0) - x * x_hat + np.log1p(np.exp(-np.abs(x_hat)))
        else:
            r = (x - x_hat) ** 2 if case["kind"] == "mse" else np.abs(x - x_hat)
        kl = 0.5 * (mu**2 + np.exp(log_var) - 1 - log_var)
        return getattr(r, case["over_inputs"])(1), getattr(kl, case["over_latents"])(1)

    def loss(x: Any, x_hat: Any, mu: Any, log_var: Any, beta: float = case["beta"]) -> Any:
        r, kl = per_image(x, x_hat, mu, log_var)
        total = case["factor"] * r + beta * kl
        if case["returns"] == "samples" and case["over_batch"] == "mean":
            return total
        total = getattr(total, case["over_batch"])()
        if case["returns"] == "tuple":
            return total, r.mean(), kl.mean()
        return {"kl": kl.mean(), "loss": total} if case["returns"] == "dict" else total

    if case["by_argument"]:
        return loss

    def without(x: Any, x_hat: Any, mu: Any, log_var: Any) -> Any:
        return loss(x, x_hat, mu, log_var)

    return without


def check_case(case: dict[str, Any]) -> None:
    """Hold the audit of a random convention against its algebra."""
    d, k, n = case["d"], case["k"], case["B"]
    audit = audited(loss_of(case), Sizes(d, k, n, 60_000))
    batch = n if case["over_batch"] == "sum" else 1
    a = case["factor"] * batch / (d if case["over_inputs"] == "mean" else 1)
    b = case["beta"] * batch / (k if case["over_latents"] == "mean" else 1)
    assert audit.a.value == pytest.approx(a, rel=1e-3)
    assert audit.b.value == pytest.approx(b, rel=1e-3)
    assert audit.beta_eff.value == pytest.approx(b / a, rel=1e-3)
    assert audit.reconstruction == case["kind"]
    assert (audit.over_inputs, audit.over_latents) == (case["over_inputs"], case["over_latents"])
    assert audit.over_batch == audit.kl_over_batch == case["over_batch"]
    assert not [finding for finding in audit.findings if finding.certain]
    assert ("beta" in (audit.b.formula or "")) == case["by_argument"]


@settings(max_examples=25, deadline=None, derandomize=True)
@given(case=cases())
def test_a_random_convention_is_read_right(case: dict[str, Any]) -> None:
    """Kind, reductions and coefficients of a few."""
    check_case(case)


@pytest.mark.slow
def test_hundreds_of_random_conventions_are_read_right(note: Note) -> None:
    """None of them wrong: 250 here, 1,000 in a soak."""
    n_cases, n_right = trials(250, 1000), 0
    examples = settings(
        max_examples=n_cases, deadline=None, suppress_health_check=list(HealthCheck)
    )(given(case=cases())(check_case))
    try:
        examples()
        n_right = n_cases
    finally:
        note("audits of random losses are right", n_cases, n_right, "kind, reductions, a and b")


def one_sample(x: Any, x_hat: Any, z_mean: Any, z_log_var: Any, beta: float = 3.0) -> Any:
    """Return a loss whose KL is estimated from one sample."""
    std = np.exp(0.5 * z_log_var)
    z = z_mean + std * np.random.standard_normal(std.shape)
    log_q = -0.5 * ((z - z_mean) / std) ** 2 - np.log(std)
    log_p = -0.5 * z**2
    kl = (log_q - log_p).sum(1)
    return (((x - x_hat) ** 2).sum(1) + beta * kl).mean()


def test_a_stochastic_loss_is_averaged_with_its_uncertainty() -> None:
    """A one-sample KL: beta_eff within 1%, and within its own interval."""
    audit = audited(one_sample, Sizes(64, 4, 128, 60_000))
    assert audit.stochastic
    assert audit.a.value == pytest.approx(1)
    assert audit.beta_eff.value == pytest.approx(3, rel=0.01)
    assert 0 < audit.beta_eff.error < 0.02
    assert abs(audit.beta_eff.value - 3) < 4 * audit.beta_eff.error
    assert (audit.beta_eff.formula, codes(audit)) == ("beta", set())


def of_z(x: Any, x_hat: Any, z_mean: Any, z_log_var: Any, z: Any) -> Any:
    """Return a loss that is given the sample."""
    log_q = -0.5 * ((z - z_mean) ** 2 / np.exp(z_log_var) + z_log_var)
    return (((x - x_hat) ** 2).sum(1) + (log_q + 0.5 * z**2).sum(1)).mean()


def test_a_loss_that_takes_the_sample_gets_one() -> None:
    """Its z is drawn around z_mean, so it is stochastic."""
    audit = audited(of_z, Sizes(16, 3, 128, 60_000))
    assert audit.stochastic
    assert audit.beta_eff.value == pytest.approx(1, rel=0.01)


def in_colour(x: Any, x_hat: Any, z_mean: Any, z_log_var: Any) -> Any:
    """Return a loss that averages the channels and sums the pixels."""
    r = ((x - x_hat) ** 2).mean(-1).sum((1, 2))
    return (r + 0.5 * (z_mean**2 + np.exp(z_log_var) - 1 - z_log_var).sum(1)).mean()


def test_images_have_their_shape() -> None:
    """H x W x C: the channels are averaged, so a = 1/3."""
    audit = audited(in_colour, Sizes(8 * 8 * 3, 2, 16, 1000), (8, 8, 3))
    assert audit.a.value == pytest.approx(1 / 3)
    assert (audit.a.formula, audit.over_inputs) == ("1/3", "sum")


def per_pixel(x: Any, x_hat: Any, z_mean: Any, z_log_var: Any) -> Any:
    """Return one value a pixel, the image's mean KL on each."""
    kl = 0.5 * (z_mean**2 + np.exp(z_log_var) - 1 - z_log_var).mean(1, keepdims=True)
    return (x - x_hat) ** 2 + kl


def pair(x: Any, x_hat: Any, z_mean: Any, z_log_var: Any) -> Any:
    """Return the two terms, not their sum."""
    kl = 0.5 * (z_mean**2 + np.exp(z_log_var) - 1 - z_log_var).sum(1)
    return ((x - x_hat) ** 2).sum(1).mean(), kl.mean()


@pytest.mark.parametrize(("loss", "beta_eff"), [(per_pixel, 48 / 5), (pair, 1.0)])
def test_pixels_are_averaged_and_a_pair_of_terms_is_added(loss: Loss, beta_eff: float) -> None:
    """What Keras would do with the first, and what the second is for."""
    audit = audited(loss, SIZES)
    assert audit.beta_eff.value == pytest.approx(beta_eff)
    assert codes(audit) == set()


def with_n(x: Any, x_hat: Any, z_mean: Any, z_log_var: Any, kld_weight: float) -> Any:
    """Return a loss whose weight comes from outside."""
    r = ((x - x_hat) ** 2).mean()
    return r + kld_weight * 0.5 * (z_mean**2 + np.exp(z_log_var) - 1 - z_log_var).sum(1).mean()


def test_a_weight_that_is_set_is_a_symbol_of_the_formula() -> None:
    """And its value makes the number."""
    audit = audited(with_n, SIZES, kld_weight=0.25)
    assert audit.beta_eff.formula == "kld_weight*d"
    assert audit.beta_eff.value == pytest.approx(12)


def test_equal_sizes_are_told_apart() -> None:
    """With d = k = B nothing changes: each is varied by itself."""
    audit = audited(numpy_loss("blog"), Sizes(16, 16, 16, 16))
    assert audit.beta_eff.formula == "beta*d/k"
    assert math.isclose(audit.beta_eff.value, 1)


def test_the_answer_is_the_same_twice() -> None:
    """Probes are fixed: an audit is reproducible, a stochastic one too."""
    assert audited(right, SIZES) == audited(right, SIZES)
    assert audited(one_sample, SIZES) == audited(one_sample, SIZES)
