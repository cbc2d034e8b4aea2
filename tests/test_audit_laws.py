"""How a coefficient scales is read off a few points, and written as a formula."""

import math
from collections.abc import Callable
from dataclasses import replace

import pytest

from lossbench.auditing.laws import (
    Law,
    constant_text,
    formula,
    inverse,
    law,
    ratio,
    readings,
    weight_power,
    worth,
)
from lossbench.auditing.scaling import Point, Survey

Scaling = Callable[[dict[str, float]], float]
AT = {"d": 784.0, "k": 6.0, "B": 5.0, "N": 60_000.0, "beta": 2.0, "step": 100.0}
OTHERS = {
    "d": (797.0, 900.0),
    "k": (7.0, 15.0),
    "B": (9.0, 15.0),
    "N": (120_000.0, 60_007.0),
    "beta": (3.4, 0.9),
    "step": (170.0, 45.0),
}


def point(b: Scaling, error: float = 0.0, **changed: float) -> Point:
    """Return a point at which a is 1 and b follows a scaling."""
    symbols = AT | changed
    return Point(symbols, 1.0, b(symbols), 0.0, error, 0.0)


def surveyed(b: Scaling, error: float = 0.0, joint: Scaling | None = None) -> Survey:
    """Return a survey of b; ``joint`` is another one where several sizes change."""
    around = {
        name: tuple(point(b, error, **{name: value}) for value in values)
        for name, values in OTHERS.items()
    }
    together = point(joint or b, error, **{size: around[size][0].symbols[size] for size in "dkB"})
    here = point(b, error)
    return Survey(
        asked=point(b, error, B=128.0),
        reference=here,
        around={size: around[size] for size in "dkBN"},
        weights={name: around[name] for name in ("beta", "step")},
        fixed={},
        idle=(),
        joint=together,
        partial=None,
        evaluating=here,
        unlike=False,
    )


@pytest.mark.parametrize(
    ("scaling", "expected"),
    [
        (lambda _: 1.0, "1"),
        (lambda _: 0.0, "0"),
        (lambda s: s["beta"], "beta"),
        (lambda s: 1 / s["k"], "1/k"),
        (lambda s: 3 * s["beta"] * s["d"] / s["k"], "3*beta*d/k"),
        (lambda s: s["d"] / (s["k"] * s["B"]), "d/(k*B)"),
        (lambda s: -s["B"] / s["N"], "-B/N"),
        (lambda s: s["d"] ** 2 / 784, "d^2/784"),
        (lambda s: 2 * math.sqrt(s["k"]), "2*sqrt(k)"),
        (lambda s: 1 / math.sqrt(s["k"]), "1/sqrt(k)"),
        (lambda s: s["beta"] ** 2, "beta^2"),
        (lambda s: s["k"] - 1, "(k - 1)"),
        (lambda s: s["k"] + 2.5, "(k + 2.5)"),
        (lambda s: s["d"] / (s["k"] + 1), "d/(k + 1)"),
        (lambda s: 100 - s["k"], "(100 - k)"),
        (lambda s: -0.3 * (s["k"] - 1), "0.3*(1 - k)"),
        (lambda s: 0.7773 * s["step"], "77.73"),
        (lambda _: 0.123456789, "0.12346"),
    ],
)
def test_powers_and_shifts_are_read_as_they_were_made(scaling: Scaling, expected: str) -> None:
    """Whole and half powers, a shifted size; a step joins no formula."""
    found = law(surveyed(scaling), "b")
    assert found is not None
    assert formula(found) == expected
    if "step" not in expected:
        assert worth(found, AT) == pytest.approx(scaling(AT))


@pytest.mark.parametrize(
    "scaling",
    [
        lambda s: s["k"] ** 1.26,
        lambda s: s["k"] ** 0.97,
        lambda s: math.sin(s["k"]),
        lambda s: s["k"] ** 2 + 3 * s["k"] + 40,
        lambda s: (s["k"] + 1) * (s["B"] + 1),
        lambda s: -1.0 if s["k"] > 10 else 1.0,
        lambda s: abs(s["k"] - 7),
    ],
)
def test_what_is_no_power_has_no_formula(scaling: Scaling) -> None:
    """A quarter of a power, a wave, a parabola, two shifted sizes, a change of sign, a zero."""
    assert law(surveyed(scaling), "b") is None


def test_a_law_has_to_hold_where_several_sizes_change() -> None:
    """To two thousandths: beyond, there is none."""
    off = {
        times: law(surveyed(lambda s: 1 / s["k"], joint=lambda s, t=times: t / s["k"]), "b")
        for times in (1.001, 1.003, 0.997)
    }
    assert [found is None for found in off.values()] == [False, True, True]
    asked = surveyed(lambda s: 1 / s["k"])
    elsewhere = replace(asked, asked=replace(asked.asked, b=1.003 * asked.asked.b))
    assert law(elsewhere, "b") is None


def test_noise_loosens_a_law_as_far_as_it_reaches() -> None:
    """What is 1% off is a law where the standard error is a percent, and none without noise."""
    wave = {6.0: 1.0, 7.0: 1.01, 15.0: 0.99}

    def scaling(symbols: dict[str, float]) -> float:
        return wave[symbols["k"]] / symbols["k"]

    assert law(surveyed(scaling), "b") is None
    found = law(surveyed(scaling, error=0.002), "b")
    assert found is not None
    assert formula(found) == "1/k"


def test_a_noisy_constant_has_as_few_digits_as_its_error_allows() -> None:
    """The plainest number within three standard errors, those of the constant itself."""
    for value, error, expected in (
        (3.0021, 0.001, "3"),
        (3.0021, 0.0005, "3.002"),
        (3.0021, 0.0, "3.0021"),
        (3.02, 0.0005, "3.02"),
    ):
        for times, text in (((), ""), (("k",), "*k"), (("beta", "k"), "*beta*k")):

            def scaling(s: dict[str, float], v: float = value, t: tuple[str, ...] = times) -> float:
                return v * math.prod(s[name] for name in t)

            of_all = error * math.prod(AT[name] for name in times)
            found = law(surveyed(scaling, error=of_all), "b")
            assert found is not None
            assert formula(found) == expected + text


def test_the_power_of_a_weight_is_found_where_the_weight_is_nothing() -> None:
    """At beta = 0 from the other two; 0 for none, ``None`` for what is no power."""

    def at(scaling: Scaling, beta: float) -> Survey:
        found = surveyed(scaling)
        return replace(found, reference=point(scaling, beta=beta))

    assert weight_power(at(lambda s: 0.3 * s["beta"], 0.0), "beta", "b") == 1
    assert weight_power(at(lambda _: 0.3, 0.0), "beta", "b") == 0
    assert weight_power(at(lambda _: 0.0, 2.0), "beta", "b") == 0
    assert weight_power(at(lambda s: 0.3 + s["beta"], 0.0), "beta", "b") is None
    assert weight_power(at(lambda s: s["beta"] ** -2, 2.0), "beta", "b") == -2


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        *((0.5, "1/2"), (-0.5, "-1/2"), (0.25, "0.25"), (1 / 3, "1/3"), (1 / 784, "1/784")),
        *((-1 / 784, "-1/784"), (0.001, "0.001"), (0.123, "0.123"), (2.0, "2"), (1.0, "1")),
        *((60_000.0, "60000"), (1e-7, "1e-07"), (1 / 60_000, "1/60000"), (0.7773, "0.7773")),
        *((1.23456789, "1.2346"), (-3.0, "-3"), (0.99, "0.99"), (1 / 784.3, "0.001275")),
    ],
)
def test_a_constant_is_told_as_one_would_write_it(value: float, expected: str) -> None:
    """One over a whole number where it is that and short no other way; five digits else."""
    assert constant_text(value) == expected


@pytest.mark.parametrize(
    ("constant", "fixed", "expected"),
    [
        (1 / 784, {"d": 784}, ["1/d", "1/784"]),
        (1 / 5, {"k": 5}, ["1/k", "0.2"]),
        (2 / 5, {"k": 5}, ["2/k", "0.4"]),
        (1.0, {"d": 784}, ["1"]),
        (1.0, {"d": 1}, ["1"]),
        (0.5, {"k": 2}, ["1/k", "1/2"]),
        (0.5, {"k": 64}, ["1/2"]),
        (0.3, {"k": 7}, ["0.3"]),
        (1 / 3, {"k": 3, "d": 784}, ["1/k", "1/3"]),
        (1 / (784 * 5), {"d": 784, "k": 5}, ["0.2/d", "1/3920"]),
        (0.0, {"k": 5}, ["0"]),
        (0.01, {"d": 100, "k": 10}, ["1/d", "0.01"]),
    ],
)
def test_a_number_at_one_size_is_read_as_written_or_as_divided(
    constant: float, fixed: dict[str, float], expected: list[str]
) -> None:
    """One that the size makes round was divided by it, or by that number; it is told as both."""
    found = readings(Law(constant, {}), fixed)
    assert [formula(reading) for reading in found] == expected
    for reading in found:
        assert worth(reading, fixed) == pytest.approx(constant)


@pytest.mark.parametrize(
    ("b", "a", "expected"),
    [
        (Law(2.0, {"beta": 1.0}), Law(4.0, {"d": -1.0}), "beta*d/2"),
        (Law(1.0, {"k": -1.0}), Law(1.0, {"k": -1.0}), "1"),
        (Law(1.0, {}, ("k", 1.0, 1)), Law(1.0, {}, ("k", 1.0, 1)), "1"),
        (Law(1.0, {}), Law(1.0, {}, ("k", 1.0, 1)), "1/(k + 1)"),
        (Law(1.0, {}, ("k", -1.0, -1)), Law(1.0, {"d": 1.0}), "1/(d*(k - 1))"),
        (Law(1.0, {}, ("k", 1.0, 1)), Law(1.0, {}, ("d", 1.0, 1)), None),
        (Law(1.0, {}), Law(0.0, {}), None),
    ],
)
def test_beta_eff_is_the_ratio_of_two_laws(b: Law, a: Law, expected: str | None) -> None:
    """Equal factors cancel, what divides the divisor multiplies; its inverse is the factor."""
    found = ratio(b, a)
    assert (found and formula(found)) == expected
    if found is not None:
        at = {"d": 784.0, "k": 6.0, "beta": 2.0}
        assert worth(found, at) == pytest.approx(worth(b, at) / worth(a, at))
        assert worth(inverse(found), at) == pytest.approx(1 / worth(found, at))
