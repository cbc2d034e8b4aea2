"""How far formulas, weights and coefficients go, and how what goes further is told."""

from collections.abc import Callable
from fractions import Fraction

import pytest
from syrupy.assertion import SnapshotAssertion

from lossbench.errors import UsageError
from lossbench.loss import Convention, Sizes, catalogue, convention, entry
from lossbench.loss.formula import evaluate, exact

SIZES = {"d": 784, "k": 2}


def written(a: str = "1", b: str = "1") -> Convention:
    """Return a convention of the user's own with these factors."""
    return Convention("mine", "mine", "sum", "sum", reconstruction_factor=a, kl_factor=b)


@pytest.mark.parametrize(
    ("formula", "value"),
    [
        ("d" + "*1" * 99 + " ", 784),  # 200 characters
        ("2**16", 65536),
        ("2**-16", Fraction(1, 65536)),
        ("((2**16)**15 * 2**15)**1", 2**255),  # a base of 256 bits
        ("(1/((2**16)**15 * 2**15))**1", Fraction(1, 2**255)),
        ("0.1 + 0.2", Fraction(3, 10)),
        ("-(-d)", 784),
    ],
)
def test_a_formula_may_go_so_far(formula: str, value: Fraction) -> None:
    """The largest that is allowed has its exact value."""
    assert evaluate(formula, SIZES) == value


REFUSED: dict[str, Callable[[], object]] = {
    "201 characters": lambda: evaluate("d" + "*1" * 100, SIZES),
    "an exponent of 17": lambda: evaluate("k + 2**17", SIZES),
    "an exponent of -17": lambda: evaluate("2**-17", SIZES),
    "half an exponent": lambda: evaluate("d**0.5", SIZES),
    "a base of 257 bits": lambda: evaluate("k*((2**16)**16)**1", SIZES),
    "a small base of 257 bits": lambda: evaluate("k*(1/(2**16)**16)**1", SIZES),
    "a name": lambda: evaluate("beta + sqrt", SIZES | {"beta": 1}),
    "what comes first": lambda: evaluate("  sqrt(d) + 1", SIZES),
    "a long rest": lambda: evaluate("d + sqrt(k) + 1 + 2 + 3 + 4 + 5 + 6", SIZES),
    "half a formula": lambda: evaluate("d +", SIZES),
    "no number": lambda: evaluate("1e999", SIZES),
    "a division by zero": lambda: evaluate("1/(d - 784)", SIZES),
    "a size that is not known": lambda: evaluate("B*d", SIZES),
    "a factor that is none": lambda: written(a="sqrt(d)").coefficients(Sizes(784, 2), 1),
    "a is too large": lambda: written("(10**16)**2").coefficients(Sizes(784, 2, 8, 9), 1),
    "a is too small": lambda: written("1/(10**16)**2").coefficients(Sizes(784, 2), 1),
    "a is zero": lambda: written("d - d").coefficients(Sizes(784, 2), 1),
    "b is too large": lambda: written(b="beta").coefficients(Sizes(784, 2), 1e31),
    "b is negative": lambda: written(b="-beta").coefficients(Sizes(784, 2), 0.5),
    "no float holds a": lambda: written("((10**16)**16)*((10**16)**16)").coefficients(Sizes(1), 1),
    "no float holds b": lambda: written(b="-((10**16)**16)*((10**16)**16)").coefficients(
        Sizes(1), 1
    ),
    "no KL term": lambda: convention("irmae-vae-2021").beta(0.25, Sizes(784, 2, 8, 9)),
    "an unknown loss": lambda: convention("bloog"),
    "an unknown row": lambda: entry("zzzzz"),
    "not to be trained": lambda: convention("vgae"),
}


@pytest.mark.parametrize("asked", REFUSED.values(), ids=REFUSED)
def test_what_goes_further_is_told_in_full(
    asked: Callable[[], object], snapshot: SnapshotAssertion
) -> None:
    """The place, the rule and what was received: nobody changes a word of it unseen."""
    with pytest.raises(UsageError) as caught:
        asked()
    assert str(caught.value) == snapshot


@pytest.mark.parametrize(
    ("a", "b", "beta"),
    [("1", "1", 0), ("1", "beta", 1e30), ("10**15 * 10**15", "1", 1), ("1/(10**15)**2", "1", 1)],
)
def test_coefficients_reach_from_1e_minus_30_to_1e30(a: str, b: str, beta: float) -> None:
    """Both ends can be trained, and so can a KL that weighs nothing."""
    found = written(a, b).coefficients(Sizes(784, 2), beta)
    assert 10**-30 <= float(found.a) <= 1e30
    assert (found.a, found.b) == (evaluate(a, SIZES), evaluate(b, {"beta": 1}) * exact(beta))


def test_every_reduction_has_its_size() -> None:
    """Means divide by d and by k, a sum over the batch multiplies both by B."""
    for over_inputs, a in (("sum", 3), ("mean", Fraction(3, 784))):
        for over_latents, b in (("sum", 10), ("mean", 5)):
            for over_batch, times in (("mean", 1), ("sum", 8)):
                loss = Convention("x", "x", over_inputs, over_latents, over_batch, "3", "5*beta")
                found = loss.coefficients(Sizes(784, 2, batch_size=8), 2)
                assert (found.a, found.b) == (a * times, b * times)


def test_letters_stand_for_the_sizes_that_are_known() -> None:
    """And for no others."""
    assert Sizes(1, 2, 3, 4).symbols() == {"d": 1, "k": 2, "B": 3, "N": 4}
    assert Sizes().symbols() == {}
    assert Sizes(k=0, n_images=7).symbols() == {"k": 0, "N": 7}


ROWS = ("blog", "docs", "keras-blog", "scvi-tools", "moses-vae", "pyro-examples", "alibi-detect")


@pytest.mark.parametrize("name", ROWS)
def test_a_row_of_the_catalogue_is_read_whole(name: str, snapshot: SnapshotAssertion) -> None:
    """Every column comes to the field of its name."""
    assert entry(name) == snapshot


def test_names_are_those_of_the_rows_in_the_order_of_the_file() -> None:
    """And the mapping cannot be changed."""
    rows = catalogue()
    assert all(name == row.name == row.convention.name for name, row in rows.items())
    assert rows is catalogue()
    with pytest.raises(TypeError):
        rows["mine"] = rows["blog"]  # type: ignore[index]
