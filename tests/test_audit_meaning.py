"""What an audit predicts: the thresholds of MNIST, the verdict at a threshold, the critical k."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from audited.literal import numpy_loss
from test_audit import audited
from test_audit_kinds import found
from test_theory import _REAL_MNIST

from lossbench import theory
from lossbench.auditing import Audit, Coefficient, predicted
from lossbench.auditing.meaning import collapse, is_noisy, kind_of
from lossbench.data import load
from lossbench.errors import AuditError
from lossbench.loss import LIKELIHOODS, Sizes

# t_1 of MNIST's training images, as measured when the models were trained.
MNIST: list[tuple[int, str, float]] = [
    *((784, "bce", 32.23), (784, "mse", 10.23), (196, "bce", 7.70), (196, "mse", 2.40)),
    (49, "bce", 1.68),
]


def with_eff(value: float, **facts: Any) -> Audit:
    """Return the audit of a plain loss with another beta_eff."""
    return replace(found("in_a_record"), beta_eff=Coefficient(value, 0.0, None), **facts)


@pytest.mark.parametrize(("d", "kind", "t_1"), MNIST)
def test_an_audit_knows_the_thresholds_of_mnist(d: int, kind: str, t_1: float) -> None:
    """Where it has the size and the likelihood of one, it says which verdict follows."""
    audit = audited(numpy_loss("docs" if kind == "bce" else "keras-docs-mse"), Sizes(d, 2, 8, 100))
    told = audit.collapse
    assert told is not None
    assert (told.dataset, told.reconstruction_loss, told.threshold) == ("MNIST", kind, t_1)
    assert (told.collapses, told.predicted_active_units) == (t_1 <= 1, None)


@pytest.mark.parametrize(
    "place", [None, *(pytest.param(place, marks=pytest.mark.slow) for place in _REAL_MNIST)]
)
def test_the_thresholds_are_those_of_the_images(place: Path | None) -> None:
    """The theory gives them back, of the real images where they are; of no other size is one."""
    if place is None:
        assert audited(numpy_loss("docs"), Sizes(100, 2, 8, 100)).collapse is None
        return
    for d, kind, t_1 in MNIST:
        computed = theory.thresholds(
            theory.moments(load("mnist", d, place).train), LIKELIHOODS[kind]
        )
        assert theory.collapse_threshold(computed) == pytest.approx(t_1, abs=0.006)


@pytest.mark.parametrize(
    ("beta_eff", "collapses"), [(4.99, False), (5.0, True), (5.01, True), (0.01, False)]
)
def test_a_loss_collapses_from_the_threshold_on(beta_eff: float, collapses: bool) -> None:
    """At t_1 itself too."""
    told = collapse(with_eff(beta_eff), "my data", 5.0, 7)
    assert told is not None
    assert (told.collapses, told.dataset, told.threshold) == (collapses, "my data", 5.0)
    assert (told.critical_k, told.reconstruction_loss) == (7, "mse")
    assert predicted(with_eff(beta_eff), None, 5.0).collapse == replace(
        told, dataset="your data", critical_k=None
    )


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_without_a_beta_eff_of_sense_there_is_no_verdict(value: float) -> None:
    """Nor where the KL is anything but the closed form."""
    assert collapse(with_eff(value), "my data", 5.0, None) is None
    for form in ("floor", "cap", "parts", "capacity"):
        assert collapse(with_eff(9.0, kl_form=form), "my data", 5.0, None) is None


def test_a_data_set_predicts_the_latents_in_use() -> None:
    """The digits at 8 x 8: as the theory says of its thresholds, from most latents to none."""
    images = load("digits", 64).train
    thresholds = theory.thresholds(theory.moments(images), LIKELIHOODS["mse"])
    t_1 = float(np.max(thresholds))
    for value in (t_1 * 1.01, thresholds[2] * 0.999, 1e-9):
        audit = replace(with_eff(value), d=64, k=5)
        told = predicted(audit, "digits", None).collapse
        assert told is not None
        assert (told.dataset, told.threshold) == ("digits", pytest.approx(t_1))
        assert told.collapses == (value > t_1)
        n_active = min(int((thresholds > value).sum()), 5)
        assert told.predicted_active_units == n_active
    assert predicted(with_eff(2.0), None, None) == with_eff(2.0)
    none = predicted(replace(with_eff(math.nan), d=64, k=5), "digits", None)
    assert none.collapse is None


def test_thresholds_are_known_for_two_likelihoods() -> None:
    """Another one is refused, by its name."""
    assert [
        kind_of(replace(found("in_a_record"), reconstruction=kind))
        for kind in ("bce", "bce_logits", "mse", "l1", "huber", None)
    ] == ["bce", "bce", "mse", "", "", ""]
    with pytest.raises(AuditError, match="received: l1"):
        predicted(with_eff(1.0, reconstruction="l1"), "digits", None)
    with pytest.raises(AuditError, match="received: a reconstruction of no known kind"):
        predicted(with_eff(1.0, reconstruction=None), "digits", None)


@pytest.mark.parametrize(
    ("power", "value", "k", "expected"),
    [
        *((-1.0, 392.0, 2, 24), (-1.0, 32.23, 2, 2), (-1.0, 32.22, 2, 1), (-1.0, 16.0, 2, 0)),
        *((-2.0, 400.0, 2, 7), (-0.5, 64.46, 3, 12), (0.0, 400.0, 2, None), (1.0, 400.0, 2, None)),
        *((None, 400.0, 2, None), (-1.0, -4.0, 2, None), (-1.0, math.nan, 2, None)),
    ],
)
def test_the_critical_k_is_where_beta_eff_falls_to_the_threshold(
    power: float | None, value: float, k: int, expected: int | None
) -> None:
    """The largest k at which it is not below; ``None`` where it does not fall with k."""
    audit = with_eff(value, k=k, power_of_k=power)
    assert audit.critical(32.23) == expected
    if expected and power:
        assert value * (expected / k) ** power >= 32.23 * (1 - 1e-9)
        assert value * ((expected + 1) / k) ** power < 32.23


def test_noise_is_a_thousandth_or_more() -> None:
    """A number that chance moves further is told with two digits."""
    assert not is_noisy(Coefficient(2.0, 0.0019, None))
    assert is_noisy(Coefficient(-2.0, 0.0021, None))
    assert not is_noisy(Coefficient(2.0, 0.0, None))


def test_a_size_that_cannot_be_varied_leaves_two_readings() -> None:
    """At d = 10 a mean over the inputs is 0.1, and 0.1 may have been written."""

    def sized(x: Any, x_hat: Any, mu: Any, log_var: Any) -> Any:
        kl = 0.5 * (mu**2 + np.exp(log_var) - 1 - log_var).sum(1)
        return ((x.reshape(-1, 10) - x_hat.reshape(-1, 10)) ** 2).mean() + kl.mean()

    audit = audited(sized, Sizes(10, 3, 8, 100))
    assert audit.fixed == ("d",)
    assert (audit.a.either, audit.beta_eff.either) == (("1/d", "0.1"), ("d", "10"))
    assert (audit.over_inputs, audit.over_latents) == (None, "sum")
    assert audit.change == (
        "one size cannot tell beta_eff = d from 10. For beta_eff = 1 at these sizes multiply the "
        "KL by 0.1; if the mean is meant to be a sum, sum instead, else change the factor."
    )
