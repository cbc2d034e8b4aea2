"""How a loss is asked: seeds, noise, rounding, time; what counts as equal and as a fit."""

import math
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from lossbench.auditing.matching import match_of
from lossbench.auditing.probe import Probe, arrays
from lossbench.auditing.probing import Probing, fit, share
from lossbench.auditing.records import Answer, Failure, Output, Stopped
from lossbench.auditing.scaling import Point, reweighted, symbol_of
from lossbench.loss import Sizes, convention

BASE = Probe(12, 3, 5, 5, 1000, (12,))


def terms(probe: Probe) -> tuple[float, float]:
    """Return R and K of a probe, as a squared error and the closed form."""
    drawn = arrays(probe)
    r = ((drawn["x"] - drawn["x_hat"]) ** 2).sum() / probe.rows
    log_var = drawn["z_log_var"]
    kl = 0.5 * (drawn["z_mean"] ** 2 + np.exp(log_var) - 1 - log_var).sum() / probe.rows
    return float(r), float(kl)


def probing(
    worth: Callable[[float, float, int], float],
    shape: tuple[int, ...] = (),
    *,
    single: bool = False,
    returned: str = "",
    seconds: float = math.inf,
    said: Callable[[str], None] = lambda _: None,
) -> Probing:
    """Return the probing of a loss that is made of R, K and the seed."""

    def ask(probe: Probe) -> Answer:
        value = worth(*terms(probe), probe.seed)
        bad = int(not math.isfinite(value))
        return Answer((Output("", shape, value, bad, single),), returned)

    deadline = time.monotonic() + seconds
    return Probing(ask, BASE, deadline=deadline, said=said)


@pytest.mark.parametrize(
    ("shape", "returned", "words"),
    [
        *(((), "", "a scalar"), ((1,), "", "a scalar"), ((5,), "", "one value per sample")),
        *(((5, 1), "", "one value per sample"), ((5, 12), "", "one value per pixel")),
        *(
            ((5,), "tuple", "a tuple with one value per sample"),
            ((), "dict", "a dict with a scalar"),
        ),
    ],
)
def test_what_a_loss_returns_is_told(shape: tuple[int, ...], returned: str, words: str) -> None:
    """A number, one an image or one a pixel."""
    assert probing(lambda r, k, _: r + k, shape, returned=returned).form == words


@pytest.mark.parametrize("shape", [(3,), (12,), (5, 3), (12, 5), (2, 5), (4,)])
def test_any_other_shape_is_no_loss(shape: tuple[int, ...]) -> None:
    """The sizes of the batch are named."""
    with pytest.raises(Stopped) as stop:
        probing(lambda r, k, _: r + k, shape)
    told = f"shape {shape} from a batch of 5, d 12, k 3"
    assert stop.value.failure == Failure("shape", "", told)


@pytest.mark.parametrize(
    ("noise", "single", "stochastic"),
    [(0.0, False, False), (1e-6, False, True), (1e-7, True, False), (1e-3, True, True)],
)
def test_a_loss_is_stochastic_where_another_seed_moves_it_beyond_rounding(
    noise: float, single: bool, stochastic: bool
) -> None:
    """Which reaches much further in single precision than in double."""
    asked = probing(lambda r, k, seed: (r + k) * (1 + noise * seed), single=single)
    assert (asked.stochastic, asked.drifts, asked.single) == (stochastic, False, single)


def test_a_loss_drifts_where_the_same_seed_moves_it() -> None:
    """At every call another number."""
    calls = iter(range(100))
    asked = probing(lambda r, k, _: r + k + next(calls))
    assert (asked.drifts, asked.stochastic) == (True, True)


def test_a_stochastic_loss_has_as_many_seeds_as_there_is_time_for() -> None:
    """Twelve, or four at least; one is enough for any other loss."""
    plain, noisy = (probing(lambda r, k, _, n=n: r + k + n * _) for n in (0, 1))

    def slow(r: float, k: float, seed: int) -> float:
        time.sleep(0.02)
        return r + k + seed

    hurried, late = (probing(slow, seconds=seconds) for seconds in (60, 20))
    for asked, n_seeds, rows in (
        *((plain, 1, 5), (noisy, 12, 384)),
        *((hurried, 6, 384), (late, 4, 61)),  # images cost it nothing, seeds do
    ):
        assert asked.plan(BASE).rows == rows
        assert asked.value(BASE).shape == (n_seeds,)
        assert asked.hurried == (1 < n_seeds < 12)
    assert list(noisy.value(BASE)) == [sum(terms(BASE)) + seed for seed in range(12)]


def test_how_busy_the_machine_is_does_not_change_what_is_asked() -> None:
    """A call of 30 ms is asked like a quick one where there is time enough; so is a large image."""

    def slow(r: float, k: float, seed: int) -> float:
        time.sleep(0.03)
        return r + k + seed

    for asked in (probing(slow, seconds=900), probing(lambda r, k, seed: r + k + seed)):
        assert asked.plan(BASE).rows == 384
        assert asked.value(BASE).shape == (12,)
        for d, rows in ((784, 128), (3072, 61), (12288, 61)):
            large = replace(BASE, d=d, shape=(d,))
            assert asked.plan(large).rows == rows
            assert asked.value(BASE).shape == (12,)


def test_an_audit_that_takes_long_says_so() -> None:
    """How long, and how long a call takes; a quick one says nothing."""
    heard: list[str] = []

    def slow(r: float, k: float, seed: int) -> float:
        time.sleep(0.02)
        return r + k + 0 * seed

    probing(slow, said=heard.append).plan(BASE)
    (text,) = heard
    about, each = (float(word) for word in text.split() if word.replace(".", "").isdigit())
    assert text == f"about {about:.0f} s: a call takes {each:.0f} ms"
    assert 20 <= each <= 500
    assert about == pytest.approx(260 * each / 1000, abs=0.7)
    probing(lambda r, k, _: r + k, said=heard.append).plan(BASE)
    assert len(heard) == 1


def test_the_time_limit_ends_an_audit() -> None:
    """With the number of calls that there were time for."""
    with pytest.raises(Stopped) as stop:
        probing(lambda r, k, _: r + k, seconds=-1)
    assert stop.value.failure == Failure("budget", "", "0 calls")


def test_what_is_not_finite_stops_or_is_no_number() -> None:
    """The probe is told in words."""
    asked = probing(lambda r, k, _: r + k if k < 2 else math.nan)
    far = replace(BASE, mean=9.0, low=-1.0, high=0.5)
    assert np.isnan(asked.value(far, finite=False)).all()
    assert np.isfinite(asked.values([BASE, far], finite=False)).tolist() == [[True], [False]]
    with pytest.raises(Stopped) as stop:
        asked.value(far)
    assert stop.value.failure == Failure(
        *("not finite", ""),
        "x between 0.2 and 0.8, x_hat around 0.4, z_mean up to 12, z_log_var between -1 and 0.5",
    )


@pytest.mark.parametrize(
    ("worth", "added"),
    [
        (lambda r, k, _: 3 * r + 2 * k, True),
        (lambda r, k, _: r + min(k, 0.1), True),
        (lambda r, k, _: r * (1 + k), False),
        (lambda r, k, _: r + k + 0.01 * r * k, False),
        (lambda r, k, _: r + k + 1e-6 * r * k, True),
        (lambda r, k, _: max(r, k), False),
        (lambda r, k, seed: r + k * (1 + 0.1 * math.sin(seed)), True),
    ],
)
def test_two_terms_are_added_where_each_moves_by_itself(
    worth: Callable[[float, float, int], float], added: bool
) -> None:
    """To a ten-thousandth of the loss, and within its noise."""
    asked = probing(worth)
    asked.plan(BASE)
    assert asked.is_added(BASE) is added


def test_a_fit_holds_to_half_a_thousandth_of_the_spread() -> None:
    """Its coefficients, its constant and its misfit are those of least squares."""
    asked = probing(lambda r, k, _: r + k)
    x = np.linspace(0, 1, 9)
    for wave, holds in ((0.0, True), (1e-4, True), (2e-4, False)):
        values = 2 + 3 * x + wave * 3 * np.where(np.arange(9) % 2, 1, -1)
        found = fit(asked, 1e6 * x[:, None], values[:, None])
        assert found.coefficients[0] == pytest.approx(3e-6, rel=1e-2)
        assert found.constant == pytest.approx(2, rel=1e-2)
        assert found.misfit == pytest.approx(wave / x.std(), rel=0.05, abs=1e-9)
        assert found.holds is holds


def test_a_part_counts_once_within_a_fiftieth() -> None:
    """Else it is told how often."""
    asked = probing(lambda r, k, _: r + k)
    before = np.array([1.0])
    assert share(asked, np.array([0.99]), before, 1.0) is None
    assert share(asked, np.array([1.019]), before, 1.0) is None
    assert share(asked, np.array([0.97]), before, 1.0) == pytest.approx(0.97)
    assert share(asked, np.array([0.0]), before, -2.0) == 0.0
    assert share(asked, np.array([3.0]), before, 0.0) is None
    noisy = np.array([0.5, 1.5, 0.4, 1.6])
    assert share(asked, noisy, before, 1.3) is None


def test_noise_is_three_standard_errors() -> None:
    """A root mean square over the probes; none of one seed."""
    asked = probing(lambda r, k, _: r + k)
    assert asked.chance(np.zeros((5, 1))) == 0.0
    rest = np.array([[1.0, -1.0, 1.0, -1.0], [2.0, -2.0, 2.0, -2.0]])
    expected = 3 * math.sqrt((4 / 3 + 16 / 3) / 2 / 4)
    assert asked.chance(rest) == pytest.approx(expected)
    assert asked.rounding(np.array([2.0, -4.0, math.nan])) == pytest.approx(160 * 2.0**-52)


def test_beta_eff_has_the_error_of_a_ratio() -> None:
    """To first order; NaN without an a, none where either is 0."""
    point = Point({}, 2.0, 3.0, 0.1, 0.3, 0.0)
    assert (point.beta_eff, point.beta_eff_error) == (
        1.5,
        pytest.approx(1.5 * math.sqrt(0.05**2 + 0.1**2)),
    )
    assert math.isnan(replace(point, a=0.0).beta_eff)
    assert replace(point, a=0.0).beta_eff_error == replace(point, b=0.0).beta_eff_error == 0.0


@pytest.mark.parametrize(
    ("value", "others"),
    [
        *((2.0, (3.4, 0.9)), (0.0, (1.0, 2.0)), (4, (8, 2)), (1, (2, 3)), (0, (1, 2))),
        *((-2.0, (-3.4, -0.9)), (250, (500, 125))),
    ],
)
def test_a_weight_is_tried_at_two_other_values(value: float, others: tuple[float, float]) -> None:
    """A whole number stays whole and above 0; the other settings stay."""
    base = replace(BASE, settings=(("beta", value), ("gamma", 7)))
    settings = [dict(probe.settings) for probe in reweighted(base, "beta", value)]
    assert settings == [{"gamma": 7, "beta": pytest.approx(other)} for other in others]
    assert {type(each["beta"]) for each in settings} == {type(value)}
    assert [symbol_of(name) for name in ("beta", "k", "N")] == ["beta", "your_k", "your_N"]


def scaled(name: str, beta: float, scale: float, sizes: Sizes) -> Point:
    """Return a and b of a convention at some sizes, with another weight on its KL."""
    found = convention(name).coefficients(sizes, 1)
    symbols = {size: float(value) for size, value in sizes.symbols().items()}
    return Point(symbols, scale * float(found.a), scale * beta * float(found.b), 0.0, 0.0, 0.0)


AT = (Sizes(784, 2, 128, 60_000), Sizes(196, 5, 7, 900), Sizes(48, 3, 9, 50))


@pytest.mark.parametrize(
    ("name", "beta", "scale", "told"),
    [
        ("docs", 1.0, 1.0, ("docs", 1.0, 1.0)),
        ("docs", 1.0005, 1.0, ("docs", 1.0005, 1.0)),
        ("docs", 4.0, 1.0, ("docs", 4.0, 1.0)),
        ("blog", 1.0, 1.0, ("blog", 1.0, 1.0)),
        ("blog", 3.0, 2.0, ("blog", 3.0, 2.0)),
        ("kaixhin-autoencoders", 1.0, 1.0, ("kaixhin-autoencoders", 1.0, 1.0)),
        ("kaixhin-autoencoders", 2.0, 1.0, None),
        ("docs", -1.0, 1.0, None),
        ("docs", 1.0, -1.0, None),
        ("docs", 0.0, 1.0, None),
    ],
)
def test_a_loss_is_named_after_the_convention_that_scales_like_it(
    name: str, beta: float, scale: float, told: tuple[str, float, float] | None
) -> None:
    """One of the seed with any weight, another one with its own a and b alone."""
    points = [scaled(name, beta, scale, sizes) for sizes in AT]
    match = match_of("bce", points, points[0])
    assert (match and (match.name, match.beta, match.scale)) == told
    assert match_of(None, points, points[0]) is None
    assert match_of("l1", points, points[0]) is None or name != "docs"


def test_a_name_has_to_hold_at_every_size() -> None:
    """To a thousandth."""
    points = [scaled("docs", 1.0, 1.0, sizes) for sizes in AT]
    for times, named in ((1.0005, True), (1.002, False)):
        off = [*points[:2], replace(points[2], b=times * points[2].b)]
        assert (match_of("bce", off, off[0]) is not None) is named
