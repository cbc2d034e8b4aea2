"""The audit: what a loss trains is read off its answers, whatever it is written in."""

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from audited import grammar
from audited.bugs import BUGS, right
from audited.literal import LITERAL, numpy_loss, tensorflow_loss, torch_loss
from conftest import Note, trials

from lossbench.auditing import Audit, examine
from lossbench.auditing.loading import from_function
from lossbench.loss import Sizes, catalogue, convention

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
    if expected.b and row.convention.kl_factor not in ("1/d", "1/(k*d)"):
        assert audit.over_latents == row.convention.over_latents
    if "B" not in factor:
        assert audit.over_batch == row.convention.over_batch
    if expected.b:
        assert audit.match is not None
        assert audit.match.scale == pytest.approx(1, rel=1e-3)
        there = convention(audit.match.name).coefficients(SIZES, audit.match.beta)
        assert float(there.beta_eff) == pytest.approx(float(expected.beta_eff), rel=1e-3)
    assert codes(audit) <= {"batch_dependence", "kl_missing"}


def test_the_test_bed_is_the_whole_catalogue() -> None:
    """Every convention that is a*R + b*K has its literal text, but for one of tokens."""
    plain = {name for name, row in catalogue().items() if row.is_plain}
    assert set(LITERAL) == plain - {"selfies-vae"}


@pytest.mark.parametrize(
    "name",
    [name if name in THIRD else pytest.param(name, marks=pytest.mark.slow) for name in LITERAL],
)
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


OF_BUGS = Sizes(d=196, k=4, batch_size=128, n_images=60_000)


@functools.cache
def of_bugs(loss: Loss) -> Audit:
    """Audit a loss of the bugs, or a twin, at d = 196 and k = 4."""
    return audited(loss, OF_BUGS)


@pytest.mark.parametrize("name", BUGS)
def test_a_known_bug_is_named_and_its_twin_is_not_blamed(name: str) -> None:
    """The twin differs in nothing but the bug."""
    bug, twin, code = BUGS[name]
    assert code in codes(of_bugs(bug))
    assert codes(of_bugs(twin)) == set()


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


def check_case(number: int) -> None:
    """Hold the audit of a random loss against the algebra that it was made from."""
    case = grammar.case(number)
    found = audited(grammar.loss_of(case), Sizes(case.d, case.k, case.batch_size, 60_000))
    told = f"case {number}: {case}"
    assert found.reconstruction == case.kind, told
    assert found.a.value == pytest.approx(case.a, rel=1e-3), told
    assert found.kl_form == ("parts" if case.missing else case.form), told
    assert found.kl_frame == case.frame, told
    assert found.b.value == pytest.approx(case.b, rel=1e-3), told
    if case.form == "closed":
        assert found.over_latents == case.over_latents, told
        assert found.clamps == case.clamps, told
    else:
        assert found.kl_bound == pytest.approx(case.bound, rel=1e-3), told
        assert found.kl_over in case.same_as_over, told
    assert (found.over_inputs, found.over_batch) == (case.over_inputs, case.over_batch), told
    if case.form == "capacity":
        assert math.isnan(found.beta_eff.value), told
    else:
        assert found.beta_eff.value == pytest.approx(case.b / case.a, rel=1e-3), told
    schedule = {"schedule"} if case.schedule else set()
    assert codes(found) & {"schedule", "idle_weight", "uneven", "hard_coded"} <= schedule, told
    if case.by_argument:
        assert "beta" in (found.b.formula or ""), told


@pytest.mark.parametrize("number", range(12))
def test_a_random_loss_is_read_right(number: int) -> None:
    """Kind, frame, form, bounds, reductions and coefficients of a few."""
    check_case(number)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(8))
def test_hundreds_of_random_losses_are_read_right(part: int, note: Note) -> None:
    """None of them wrong: 8 times 25 here, 8 times 250 in a soak, a part at a time."""
    n_cases, n_right = trials(25, 250), 0
    numbers = range(1000 * (part + 1), 1000 * (part + 1) + n_cases)
    try:
        for number in numbers:
            check_case(number)
            n_right += 1
    finally:
        promise = f"audits of random losses are right, part {part + 1} of 8"
        note(promise, n_cases, n_right, "kind, frame, form, bounds, reductions, a and b")


def one_sample(x: Any, x_hat: Any, z_mean: Any, z_log_var: Any, beta: float = 3.0) -> Any:
    """Return a loss whose KL is estimated from one sample."""
    std = np.exp(0.5 * z_log_var)
    z = z_mean + std * np.random.standard_normal(std.shape)
    log_q = -0.5 * ((z - z_mean) / std) ** 2 - np.log(std)
    log_p = -0.5 * z**2
    kl = (log_q - log_p).sum(1)
    return (((x - x_hat) ** 2).sum(1) + beta * kl).mean()


def noisy(x: Any, x_hat: Any, z_mean: Any, z_log_var: Any) -> Any:
    """Return a loss whose weight is 3, give or take a tenth, at every call."""
    kl = 0.5 * (z_mean**2 + np.exp(z_log_var) - 1 - z_log_var).sum(1)
    weight = 3 + 0.3 * np.random.standard_normal()
    return ((x - x_hat) ** 2).sum(1).mean() + weight * kl.mean()


OF_NOISE = Sizes(16, 4, 128, 60_000)


@functools.cache
def of_one_sample() -> Audit:
    """Audit the KL of one sample."""
    return audited(one_sample, OF_NOISE)


def test_a_stochastic_loss_is_averaged_with_its_uncertainty() -> None:
    """beta_eff is within its own interval; of a one-sample KL it is as good as exact."""
    audit = audited(noisy, OF_NOISE)
    assert audit.stochastic
    assert audit.a.value == pytest.approx(1)
    assert 0 < audit.beta_eff.error < 0.2
    assert abs(audit.beta_eff.value - 3) < 4 * audit.beta_eff.error
    of_one = of_one_sample()
    assert of_one.stochastic
    assert of_one.beta_eff.value == pytest.approx(3, rel=1e-6)
    assert (of_one.beta_eff.formula, codes(of_one)) == ("beta", set())


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
    """H x W x C: the channels are averaged, which 1/3 would not tell."""
    audit = audited(in_colour, Sizes(8 * 8 * 3, 2, 16, 1000), (8, 8, 3))
    assert audit.a.value == pytest.approx(1 / 3)
    assert (audit.a.formula, audit.over_inputs) == ("1/channels", None)


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
    assert audited(right, OF_BUGS) == of_bugs(right)
    assert audited(one_sample, OF_NOISE) == of_one_sample()
