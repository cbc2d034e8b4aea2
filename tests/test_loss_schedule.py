"""The objective, and the schedules of the weight on K, against their formulas step by step."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lossbench.errors import UsageError
from lossbench.loss import SPELLINGS, Objective, Schedule, schedule
from lossbench.loss.schedule import (
    SCHEDULES,
    Constant,
    Cosine,
    Cyclical,
    Far,
    Length,
    Linear,
    Sigmoid,
)

LENGTHS = st.one_of(
    st.fractions(Fraction(1, 1000), 1, max_denominator=1000).map(lambda x: f"{float(x):.12g}"),
    st.integers(1, 300).map("{}epochs".format),
    st.integers(1, 3000).map("{}steps".format),
)
STARTS = st.floats(0, 100).map("{:.12g}".format)
SPELLED = st.one_of(
    st.just("constant"),
    LENGTHS.map("linear:{}".format),
    LENGTHS.map("sigmoid:{}".format),
    LENGTHS.map("cosine:{}".format),
    st.tuples(st.integers(1, 20), st.integers(1, 100)).map(
        lambda parts: f"cyclical:{parts[0]}:{parts[1] / 100:.12g}"
    ),
    st.tuples(LENGTHS, STARTS).map(lambda parts: f"far:{parts[0]}:{parts[1]}"),
)


# The objective.


def test_the_value_is_the_weighted_sum() -> None:
    """By hand, in floats and exactly; beta_eff is b over a."""
    assert Objective(0.5, 2.0).value(10.0, 3.0) == 11.0
    exact = Objective(Fraction(1, 3), Fraction(2))
    assert exact.value(Fraction(1), Fraction(1, 6)) == Fraction(2, 3)
    assert exact.beta_eff == 6


# Schedules, by hand.


@pytest.mark.parametrize(
    ("text", "n_steps", "steps_an_epoch", "expected"),
    [
        ("constant", 3, 1, [1, 1, 1]),
        ("linear:1", 5, 1, [0, 0.25, 0.5, 0.75, 1]),
        ("linear:0.5", 9, 3, [0, 0.25, 0.5, 0.75, 1, 1, 1, 1, 1]),
        ("linear:0.5", 6, 1, [0, 0.4, 0.8, 1, 1, 1]),  # a rise of 2.5 steps
        ("linear:4steps", 6, 3, [0, 0.25, 0.5, 0.75, 1, 1]),
        ("linear:4steps", 3, 3, [0, 0.25, 0.5]),
        ("linear:2epochs", 8, 2, [0, 0, 0.5, 0.5, 1, 1, 1, 1]),
        ("linear:4epochs", 4, 2, [0, 0, 0.25, 0.25]),
        ("linear:0.001", 3, 1, [0, 1, 1]),
        ("linear:1", 1, 1, [0]),
        ("sigmoid:1", 3, 1, [0, 0.5, 1]),
        ("cosine:2steps", 4, 1, [0, 0.49999999999999994, 1, 1]),
        ("cyclical:2:0.5", 8, 2, [0, 0.5, 1, 1, 0, 0.5, 1, 1]),
        ("cyclical:2:1", 4, 2, [0, 0.5, 0, 0.5]),
        ("cyclical:3:1", 5, 5, [0, 0.6, 0, 0.6, 0]),  # cycles of ceil(5/3) = 2 steps
        ("far:0.5:0.1", 4, 1, [0.1, 0.1, 1, 1]),
        ("far:0.5:0.1", 5, 1, [0.1, 0.1, 0.1, 1, 1]),  # steps 0, 1 and 2 are below 2.5
        ("far:0.1:0", 30, 1, [0] * 3 + [1] * 27),  # in floats 0.1 * 30 is above 3
        ("far:1:0.1", 3, 1, [0.1] * 3),
        ("far:2steps:7", 4, 2, [7, 7, 1, 1]),
        ("far:1epochs:0.01", 6, 3, [0.01] * 3 + [1] * 3),
        ("far:9epochs:0.01", 6, 3, [0.01] * 6),
    ],
)
def test_weights_by_hand(
    text: str, n_steps: int, steps_an_epoch: int, expected: list[float]
) -> None:
    """Each form, with each kind of length, to the last digit."""
    found = schedule(text)
    weights = found.weights(n_steps, steps_an_epoch)
    assert weights.dtype == np.float64
    assert weights.tolist() == expected
    assert found.last_weight(n_steps, steps_an_epoch) == expected[-1]
    assert found.reaches_its_end(n_steps, steps_an_epoch) == (expected[-1] == 1)


def _by_the_formula(found: Schedule, t: int, n_steps: int, steps_an_epoch: int) -> float:
    """Return w(t) exactly, as the docstrings have it."""
    if isinstance(found, Constant):
        return 1.0
    if isinstance(found, Cyclical):
        place = Fraction(t % math.ceil(n_steps / found.cycles)) / Fraction(n_steps, found.cycles)
        return float(min(Fraction(1), place / found.rise))
    assert isinstance(found, Linear | Sigmoid | Cosine | Far)
    unit, amount = found.length.unit, found.length.amount
    passed = t // steps_an_epoch if unit == "epochs" else t
    if isinstance(found, Far):
        return found.start if passed < (amount if unit else amount * n_steps) else 1.0
    rise = amount if unit else amount * (n_steps - 1)
    risen = float(min(Fraction(1), Fraction(passed) / rise)) if rise else 0.0
    if isinstance(found, Sigmoid):
        first, now, last = (1 / (1 + math.exp(6 - 12 * p)) for p in (0, risen, 1))
        return (now - first) / (last - first)
    return (1 - math.cos(math.pi * risen)) / 2 if isinstance(found, Cosine) else risen


@given(text=SPELLED, n_epochs=st.integers(1, 40), steps_an_epoch=st.integers(1, 40))
def test_weights_are_those_of_the_formula(text: str, n_epochs: int, steps_an_epoch: int) -> None:
    """Exact arithmetic, one step at a time; the last weight is that of the array."""
    found, n_steps = schedule(text), n_epochs * steps_an_epoch
    weights = found.weights(n_steps, steps_an_epoch)
    expected = [_by_the_formula(found, t, n_steps, steps_an_epoch) for t in range(n_steps)]
    np.testing.assert_allclose(weights, expected, rtol=1e-12, atol=1e-14)
    assert found.last_weight(n_steps, steps_an_epoch) == weights[-1]
    assert found.reaches_its_end(n_steps, steps_an_epoch) == (weights[-1] == 1)


@given(text=LENGTHS, n_epochs=st.integers(2, 40), steps_an_epoch=st.integers(1, 40))
def test_a_linear_schedule_starts_at_zero_and_never_falls(
    text: str, n_epochs: int, steps_an_epoch: int
) -> None:
    """It lies in [0, 1]; counted in epochs it changes between them alone."""
    weights = schedule(f"linear:{text}").weights(n_epochs * steps_an_epoch, steps_an_epoch)
    assert weights[0] == 0
    assert np.diff(weights).min() >= 0
    assert weights.max() <= 1
    if text.endswith("epochs"):
        assert np.ptp(weights.reshape(n_epochs, steps_an_epoch), axis=1).max() == 0


@given(text=SPELLED)
def test_a_schedule_has_one_spelling(text: str) -> None:
    """What it is written as gives it back, and is what a run's identity can hold."""
    found = schedule(text)
    assert schedule(str(found)) == found
    assert str(schedule(str(found))) == str(found)


def test_other_spellings_of_a_number_are_the_same_schedule() -> None:
    """Zeros, exponents and signs make no difference."""
    assert str(schedule("linear:0.50")) == str(schedule("linear:5e-1")) == "linear:0.5"
    assert str(schedule("far:010epochs:-0")) == "far:10epochs:0"
    assert schedule("linear:1.0") == schedule("linear:1") == Linear(Length(Fraction(1)))


def test_what_is_spelt_is_told_in_words() -> None:
    """A phrase that stands after `kl_schedule`."""
    assert {
        text: schedule(text).words
        for text in (
            "constant",
            "linear:0.125",
            "linear:1",
            "linear:1epochs",
            "linear:400epochs",
            "far:1steps:0",
            "far:0.3:0.01",
            "far:5000steps:0",
            "sigmoid:0.5",
            "cosine:3epochs",
            "cyclical:4:0.5",
            "cyclical:1:1",
        )
    } == {
        "constant": "constant",
        "linear:0.125": "from 0 to 1 over the first 12.5% of training",
        "linear:1": "from 0 to 1 over the whole of training",
        "linear:1epochs": "from 0 to 1 over the first epoch, one value an epoch",
        "far:1steps:0": "0 over the first step, then 1",
        "linear:400epochs": "from 0 to 1 over the first 400 epochs, one value an epoch",
        "far:0.3:0.01": "0.01 over the first 30% of training, then 1",
        "far:5000steps:0": "0 over the first 5,000 steps, then 1",
        "sigmoid:0.5": "from 0 to 1 along a sigmoid over the first 50% of training",
        "cosine:3epochs": "from 0 to 1 along a cosine over the first 3 epochs, one value an epoch",
        "cyclical:4:0.5": "from 0 to 1 over the first 50% of each of 4 cycles",
        "cyclical:1:1": "from 0 to 1 over the whole of training",
    }


# What is no schedule.


@pytest.mark.parametrize(
    ("text", "expected", "remedy"),
    [
        ("", SPELLINGS, ""),
        (
            "lineer:0.5",
            SPELLINGS,
            "did you mean 'linear'?",
        ),
        (
            "Linear:0.5",
            SPELLINGS,
            "did you mean 'linear'?",
        ),
        ("warmup", SPELLINGS, ""),
        ("linear", "linear:F", ""),
        ("linear:0.5:0.1", "linear:F", ""),
        ("constant:1", "constant", ""),
        ("far:0.5", "far:F:W0", ""),
        *(
            (f"{form}:{length}{rest}", "above 0 and at most 1", "")
            for form, rest in (("linear", ""), ("far", ":0.1"))
            for length in (
                *("0", "1.001", "-0.5", "nan", "inf", "half", "", "50%"),
                *("0epochs", "-1epochs", "1.5epochs", "epochs", "3 epochs", "3epoch", "0steps"),
            )
        ),
        *(
            (f"far:0.5:{start}", "at least 0, below 1e12", "")
            for start in ("-0.1", "nan", "inf", "1e12", "low", "")
        ),
    ],
)
def test_what_is_no_schedule_is_refused_with_what_was_expected(
    text: str, expected: str, remedy: str
) -> None:
    """The text itself is shown, the rule that it breaks, and the nearest form."""
    with pytest.raises(UsageError) as caught:
        schedule(text)
    assert expected in caught.value.expected
    assert caught.value.remedy == remedy
    assert repr(text) in caught.value.where


@given(st.text(alphabet="linearfcost:0.5-e+1_ epochs\nnan", max_size=30))
def test_any_text_is_a_schedule_or_a_usage_error(text: str) -> None:
    """No text makes the parser fail in another way, and no schedule is not a number."""
    try:
        found = schedule(text)
    except UsageError:
        return
    assert np.isfinite(found.weights(7, 2)).all()
    assert schedule(str(found)) == found


@pytest.mark.parametrize("text", ["linear:5e-324", "linear:1e-300", "far:5e-324:0"])
def test_the_shortest_length_is_one_step_or_none(text: str) -> None:
    """Nothing overflows."""
    assert schedule(text).weights(3, 1).tolist() == [0, 1, 1]


def test_every_form_is_spelt_as_its_fields_are() -> None:
    """A new form cannot forget a part of its spelling."""
    for form, each in SCHEDULES.items():
        parts = ["2" if letter == "M" else "0.5" for letter in each.spelling.split(":")[1:]]
        found = schedule(":".join((form, *parts)))
        assert isinstance(found, each)
        assert math.isfinite(found.last_weight(4, 2))
        assert found.words
