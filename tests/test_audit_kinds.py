"""Losses that are easily taken for others: each is told as what it is, and never as another one."""

import functools
import io
import math
import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from audited import further, kinds
from rich.console import Console
from test_audit import audited, codes

from lossbench.auditing import Audit, probing
from lossbench.auditing.kl_term import KlForm
from lossbench.console.audit import audit_report
from lossbench.loss import Sizes

SIZES = Sizes(d=12, k=3, batch_size=128, n_images=60_000)
SOME_NUMBER = object()


@functools.cache
def found(name: str, **settings: Any) -> Audit:
    """Return the audit of one of the kinds."""
    return audited(getattr(kinds, name), SIZES, **settings)


# The total, the KL's form, b, beta_eff, and the findings that change the answer.
TRUTHS: dict[str, tuple[str, str, float, float, set[str]]] = {
    "weight_beside": ("out[0] + out[2]*out[1]", "closed", 0.25, 0.25, {"schedule"}),
    "logged_kl": ("out[0]", "floor", 1, 1, {"kl_floor"}),
    "in_a_record": ("out.loss", "closed", 3, 3, set()),
    "weight_of_nothing": ("out[0]", "absent", 0, 0, {"kl_missing"}),
    "clamped_from_below": ("out", "closed", 1, 1, {"kl_clipped"}),
    "clamped_mean": ("out", "closed", 1, 1, {"kl_clipped"}),
    "square_is_missing": ("out", "parts", 1, 1, {"std_for_log_var"}),
    "taken_for_the_deviation": ("out", "closed", 1, 1, {"std_for_log_var"}),
    "through_softplus": ("out", "closed", 1, 1, set()),
    "softplus_and_a_little": ("out", "closed", 1, 1, set()),
    "only_the_mean_is_wrong": ("out", "parts", 1 / 3, 1 / 3, {"kl_parts"}),
    "wide_prior": ("out", "parts", 0.25, 0.25, {"kl_parts"}),
    "counting": ("out", "capacity", 2, math.nan, {"capacity", "state"}),
    "floor_of_latents": ("out", "floor", 1, 1, {"kl_floor"}),
    "bounded_by": ("out", "closed", 1, 1, set()),
    "correlated": ("out", "closed", 1, 1, {"further_term"}),
    "kernel_distance": ("out", "unknown", math.nan, math.nan, {"kl_unknown"}),
    "capacity": ("out", "capacity", 30, math.nan, {"capacity"}),
    "capacity_squared": ("out", "squared_capacity", 3, math.nan, {"capacity"}),
    "optimal_sigma": ("out", "closed", 1, math.nan, set()),
    "huber_of_one": ("out", "closed", 1, 1, set()),
    "two_errors": ("out", "closed", 1, math.nan, {"reconstruction_unknown"}),
    "student": ("out", "closed", 1, math.nan, {"reconstruction_unknown"}),
    "dice": ("out", "closed", 1, math.nan, {"no_likelihood"}),
    "of_each_other": ("out", "unknown", math.nan, math.nan, {"coupled"}),
    "weighed_by_the_error": (
        *("out", "unknown", math.nan, math.nan),
        {"coupled"},
    ),
    "total_correlation": ("out", "unknown", math.nan, math.nan, {"kl_unknown"}),
    "correlation": ("out", "unknown", math.nan, math.nan, {"kl_unknown"}),
    "of_the_deviation": ("out", "closed", 1, 1, {"std_for_log_var"}),
    "in_half_precision": ("out", "unknown", math.nan, math.nan, {"kl_unknown"}),
    "slowly": ("out", "capacity", 100, math.nan, {"capacity", "state"}),
    "of_an_attribute": ("out", "closed", 0.3, 0.3, {"schedule"}),
    "maximised": ("-out", "closed", 2, 2, set()),
    "annealed": ("out", "closed", 0.7772999, 12 * 0.7772999, {"schedule"}),
    "switching": ("out", "closed", 0.5, 0.5, {"mode"}),
}


def told_of(names: Iterable[str]) -> list[Any]:
    """Return names for a test each: the sampled term of all pairs of images is a slow one."""
    slow = functools.partial(pytest.param, marks=pytest.mark.slow)
    return [slow(name) if name == "total_correlation" else name for name in names]


@pytest.mark.parametrize("name", told_of(TRUTHS))
def test_a_loss_is_told_as_what_it_is(name: str) -> None:
    """Its total, form and weights, and whatever changes the answer."""
    total, form, b, beta_eff, changing = TRUTHS[name]
    audit = found(name)
    assert (audit.total, audit.kl_form) == (total, form)
    assert audit.b.value == pytest.approx(b, rel=1e-4, nan_ok=True)
    assert audit.beta_eff.value == pytest.approx(beta_eff, rel=1e-4, nan_ok=True)
    assert {finding.code for finding in audit.findings if finding.changes} == changing


@pytest.mark.parametrize("name", told_of(n for n, truth in TRUTHS.items() if math.isnan(truth[3])))
def test_a_loss_without_a_constant_weight_is_no_convention(name: str) -> None:
    """No name, no advice to multiply, no collapse."""
    check_that_it_is_no_convention(found(name))


def check_that_it_is_no_convention(audit: Audit) -> None:
    """Hold an audit against what is said of a loss without a constant weight."""
    assert audit.match is None
    assert audit.change == ""
    assert audit.collapse is None
    assert not [
        text for text in audit.meaning if "beta_eff" not in text and "documentation" in text
    ]


def sentence(audit: Audit, code: str) -> str:
    """Return the one finding of that code."""
    (text,) = (finding.text for finding in audit.findings if finding.code == code)
    return text


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("clamped_from_below", "kl_clipped", "clamps log_var to at least -1:"),
        ("clamped_mean", "kl_clipped", "clamps z_mean to at least -2.5 and at most 2.5:"),
        ("bounded_by", "kl_clipped", "clamps log_var to at most 9"),
        ("square_is_missing", "std_for_log_var", "exp(log_sigma) lacks its square"),
        (
            "taken_for_the_deviation",
            "std_for_log_var",
            "log_var is taken for the standard deviation",
        ),
        ("through_softplus", "softplus", "what softplus makes the standard deviation"),
        ("only_the_mean_is_wrong", "kl_parts", "mean^2 has the wrong sign"),
        ("wide_prior", "kl_parts", "1 times the KL to a prior of variance 4"),
        ("counting", "state", "self.n changes with each call (100 -> 101)"),
        ("counting", "capacity", "a capacity of 5.05 nats on the batch's mean KL"),
        ("floor_of_latents", "kl_floor", "0.25 nats (free_bits) on each latent's mean over"),
        ("logged_kl", "kl_floor", "60 nats on the batch's mean KL"),
        ("bounded_by", "idle_weight", "The argument unused has no effect"),
        ("correlated", "further_term", "how the latents of a batch's images differ"),
        ("kernel_distance", "kl_unknown", "depends on the latents of the batch as a whole"),
        ("in_half_precision", "kl_unknown", "is computed in half precision"),
        ("two_errors", "reconstruction_unknown", "several terms: 1*mse + 1/2*l1"),
        ("dice", "no_likelihood", "dice loss"),
        ("annealed", "schedule", "b moves with step, as a schedule does: 0.7773 at 3000"),
        ("switching", "mode", "In evaluation mode b, the weight of K, is 1; in training"),
        ("weight_beside", "schedule", "0.25 at 250"),
    ],
)
def test_a_finding_says_what_and_where(name: str, code: str, words: str) -> None:
    """With the numbers that a person needs."""
    assert words in sentence(found(name), code)


def test_what_was_found_is_not_without_effect() -> None:
    """An argument that sets a floor or a clamp is not called idle."""
    assert "idle_weight" not in codes(found("floor_of_latents"))
    idle = [
        finding.text for finding in found("bounded_by").findings if finding.code == "idle_weight"
    ]
    assert len(idle) == 1


def test_a_weight_that_follows_the_error_is_a_formula() -> None:
    """d/2 ln(mse) + K: sigma^2 is the mse, so beta_eff is twice the mse, whatever d."""
    audit = found("optimal_sigma")
    assert (audit.a.formula, audit.beta_eff.formula) == ("1/(2*mse)", "2*mse")
    assert "beta_eff is 2*mse" in audit.meaning[0]


def test_a_schedules_law_leaves_the_sizes_laws_alone() -> None:
    """A = 1/d stands, and b is a number with its step told apart."""
    audit = found("annealed")
    assert (audit.a.formula, audit.over_inputs, audit.over_latents) == ("1/d", "mean", "sum")


def test_a_number_that_was_set_moves_what_it_moves() -> None:
    """At another step another weight; a total that is asked for is the one that is audited."""
    assert found("annealed", step=2500).b.value == pytest.approx(0.5)
    assert found("weight_of_nothing", beta=2).b.value == pytest.approx(2)


@pytest.mark.parametrize(("shape", "formula"), [((2, 3, 2), "10/channels"), ((12,), "10/d")])
def test_the_channels_of_an_image_are_a_size_of_their_own(
    shape: tuple[int, ...], formula: str
) -> None:
    """A mean over them is no constant; flat images have none."""
    audit = audited(further.averaged_over_channels, SIZES, shape)
    assert audit.a.formula == formula
    assert (audit.over_inputs, audit.match) == (None if "channels" in formula else "mean", None)
    assert ("k = 3 and 2 channels" in audit.meaning[0]) == ("channels" in formula)


def test_channels_that_cannot_be_varied_fix_no_other_size_and_hide_no_small_term() -> None:
    """The height and the width do; what counts a thousandth is seen at large errors."""
    audit = audited(further.of_three_channels, SIZES, (3, 2, 2))
    assert (audit.a.value, audit.fixed) == (pytest.approx(1 / 12, rel=1e-3), ("channels",))
    assert audit.a.formula is not None
    assert audit.a.formula.endswith("/d")
    assert codes(audit) == {"inside"}


def drawn_once(x: Any, x_hat: Any, z_mean: Any, z_log_var: Any) -> Any:
    """Return the ELBO's negative with a sample of its KL."""
    z = z_mean + np.exp(z_log_var / 2) * np.random.standard_normal(z_mean.shape)
    log_q = -0.5 * ((z - z_mean) ** 2 / np.exp(z_log_var) + z_log_var)
    return ((x - x_hat) ** 2).sum(1).mean() + (log_q + 0.5 * z**2).sum(1).mean()


@pytest.mark.parametrize(
    ("loss", "rows"), [(drawn_once, 61), (drawn_once, 384), (kinds.total_correlation, 61)]
)
def test_few_seeds_make_no_floor_and_no_capacity_of_a_sampled_kl(
    loss: Any, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a slow machine has time for is told with less certainty, never as another form."""
    monkeypatch.setattr(probing, "_PLANS", ((rows, 4),))
    audit = audited(loss, SIZES)
    assert audit.kl_form == KlForm.UNKNOWN or loss is drawn_once
    if audit.kl_form == KlForm.UNKNOWN:
        check_that_it_is_no_convention(audit)
        assert [f.code for f in audit.findings] == ["kl_unknown"]
        assert re.search("or chance hides which|batch as a whole", audit.findings[0].text)
    else:
        assert (audit.kl_form, audit.kl_frame) == (KlForm.CLOSED, "log_var")


def rounded(x: Any, x_hat: Any, z_mean: Any, z_log_var: Any) -> Any:
    """Return the Charbonnier loss, which is rounded where a Huber loss has an edge."""
    return np.sqrt((x - x_hat) ** 2 + 1e-4).sum(1).mean() + kl_of(z_mean, z_log_var)


def edged(x: Any, x_hat: Any, z_mean: Any, z_log_var: Any) -> Any:
    """Return the Huber loss of that threshold, as PyTorch's smooth l1."""
    e = np.abs(x - x_hat)
    huber = np.where(e < 0.02, e**2 / 0.04, e - 0.01)
    return huber.sum(1).mean() + kl_of(z_mean, z_log_var)


def kl_of(z_mean: Any, z_log_var: Any) -> Any:
    """Return the KL of the batch."""
    return 0.5 * (z_mean**2 + np.exp(z_log_var) - 1 - z_log_var).sum(1).mean()


def test_what_is_near_to_a_kind_is_not_told_as_it() -> None:
    """Neither as a Huber loss nor as a sum of kinds: the nearest is named, with how far it is."""
    audit = audited(rounded, Sizes(12, 3, 128, 60_000))
    assert audit.reconstruction is None
    (text,) = [f.text for f in audit.findings if f.code == "reconstruction_unknown"]
    assert "none of the known kinds" in text
    assert "The nearest is l1, absolute error: " in text
    edge = audited(edged, Sizes(12, 3, 128, 60_000))
    assert (edge.words, edge.a.formula) == ("Huber with threshold 0.02", "50")


def noisy_sum(x: Any, x_hat: Any, z_mean: Any, z_log_var: Any) -> Any:
    """Return a one-sample KL, summed over the batch like the squared error."""
    z = z_mean + np.random.standard_normal(z_mean.shape) * np.exp(z_log_var / 2)
    log_q = -0.5 * (z_log_var + (z - z_mean) ** 2 / np.exp(z_log_var)).sum()
    return ((x - x_hat) ** 2).sum() + log_q + 0.5 * (z**2).sum()


@pytest.mark.parametrize("d", [12, pytest.param(784, marks=pytest.mark.slow)])
def test_a_stochastic_sum_over_the_batch_is_told_at_large_images_too(
    d: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are asked in batches of 128, by chance the asked batch size; here small ones are."""
    if d == 12:
        monkeypatch.setattr(probing, "_PLANS", ((128, 12),))
    audit = audited(noisy_sum, Sizes(d, 2, 128, 60_000))
    assert (audit.over_batch, audit.kl_over_batch, audit.a.formula) == ("sum", "sum", "B")


def correlated(x: Any, x_hat: Any, z_mean: Any, z_log_var: Any) -> Any:
    """Return one minus the correlation of image and reconstruction, NaN for a flat one."""
    a, b = (y - y.mean(1, keepdims=True) for y in (x, x_hat))
    with np.errstate(invalid="ignore"):
        r = (a * b).mean(1) / (a.std(1) * b.std(1))
    return (1 - r).mean() + kl_of(z_mean, z_log_var)


def test_a_kind_that_no_flat_image_has_is_unknown_and_not_refused() -> None:
    """The KL is told all the same."""
    audit = audited(correlated, Sizes(12, 3, 128, 60_000))
    assert (audit.reconstruction, audit.b.formula) == (None, "1")


def test_what_the_notes_say_of_chance_is_so() -> None:
    """An error is promised where one is shown."""
    exact = audited(noisy_sum, Sizes(12, 3, 128, 60_000))
    moved = replace(exact, a=replace(exact.a, error=0.1))
    for audit, words in ((exact, "seeds.\n"), (moved, "seeds, ± two standard errors.\n")):
        page = io.StringIO()
        Console(width=100, file=page).print(audit_report(audit))
        assert f"Stochastic: means over fixed {words}" in page.getvalue()


def sampled_covariance(x: Any, x_hat: Any, z_mean: Any, z_log_var: Any) -> Any:
    """Return the ELBO's negative and a penalty on how the sampled latents of a batch differ."""
    z = z_mean + np.random.standard_normal(z_mean.shape) * np.exp(z_log_var / 2)
    centred = z - z.mean(0)
    covariance = centred.T @ centred / len(z)
    return ((x - x_hat) ** 2).sum(1).mean() + kl_of(z_mean, z_log_var) + 5 * (covariance**2).sum()


def test_more_seeds_are_advised_where_there_are_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not of a loss that was asked with all of them; a sampled term of the batch is told as one."""
    every = audited(sampled_covariance, SIZES)
    check_that_it_is_no_convention(every)
    assert "depends on the latents of the batch as a whole" in sentence(every, "kl_unknown")
    assert "--time-limit" not in sentence(every, "kl_unknown")
    monkeypatch.setattr(probing, "_PLANS", ((61, 4),))
    few = audited(sampled_covariance, SIZES)
    assert "a longer --time-limit asks more seeds" in sentence(few, "kl_unknown")


@pytest.mark.slow
def test_more_seeds_are_not_advised_for_a_total_correlation() -> None:
    """It is asked with all that there are."""
    texts = [finding.text for finding in found("total_correlation").findings]
    assert not any("--time-limit" in text for text in texts)
