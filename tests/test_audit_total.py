"""Which output is the total: what each one depends on tells, and its name."""

from collections.abc import Callable, Mapping

import pytest

from lossbench.auditing.probe import Probe, arrays
from lossbench.auditing.records import Answer, Failure, Output, Stopped
from lossbench.auditing.total import Total, find_total, read_total
from lossbench.errors import AuditError

BASE = Probe(12, 3, 5, 5, 1000, (12,))
Terms = Callable[[float, float, Mapping[str, float]], Mapping[str, object]]


def total(terms: Terms, single: bool = False, **weights: float) -> Total:
    """Return what is taken for the total of outputs made of R, K and weights."""

    def answer(probe: Probe) -> Answer:
        drawn = arrays(probe)
        r = float(((drawn["x"] - drawn["x_hat"]) ** 2).sum() / probe.rows)
        kl = float(0.5 * (drawn["z_mean"] ** 2).sum() / probe.rows)
        found = terms(r, kl, weights | {n: float(v) for n, v in probe.settings})  # type: ignore[arg-type]
        if "failure" in found:
            raise Stopped(Failure(str(found["failure"])))
        outputs = []
        for path, value in found.items():
            if isinstance(value, float):
                outputs.append(Output(path, (), value, int(value != value), single))  # noqa: PLR0124
            else:
                outputs.append(Output(path, (), 0.0, 0, single, type(value).__name__))
        return Answer(tuple(outputs), "tuple")

    return find_total(answer, BASE, [{name: 1.3 * value + 0.7} for name, value in weights.items()])


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        (lambda r, k, _w: {"": r + k}, "out"),
        (lambda r, k, _w: {"[0]": r, '[1]["loss"]': 0.0, "[2]": r + k}, 'out[1]["loss"]'),
        (lambda r, k, _w: {"[0]": r + k, '["vae_loss"]': r, '["total"]': k}, 'out["total"]'),
        (lambda r, k, _w: {'["cost"]': r, '["Loss"]': r + k}, 'out["Loss"]'),
        (lambda r, k, _w: {"[0]": r, "[1]": k, "[2]": r + k}, "out[2]"),
        (lambda r, k, _w: {"[0]": r + k, "[1]": r + 2 * k}, "out[0]"),
        (lambda r, k, _w: {"[0]": r, "[1]": k}, "out[0] + out[1]"),
        (lambda r, k, _w: {"[0]": k, "[1]": r}, "out[1] + out[0]"),
        (lambda r, k, _w: {"[0]": r, "[1]": k, "[2]": 0.5}, "out[0] + out[2]*out[1]"),
        (lambda r, k, _w: {"[0]": r, "[1]": k, "[2]": 0.0}, "out[0] + out[1]"),
        (lambda r, k, _w: {"[0]": r, "[1]": k, "[2]": "text"}, "out[0] + out[1]"),
        (lambda r, _k, _w: {"[0]": "text", "[1]": r}, "out[1]"),
        (lambda r, _k, _w: {"[0]": 3.0, "[1]": r}, "out[1]"),
        (lambda _r, k, _w: {"[0]": 3.0, "[1]": k}, "out[1]"),
        (lambda _r, _k, _w: {"[0]": 3.0, "[1]": 4.0}, "out[0]"),
        (
            lambda r, k, _w: {".mse": r, ".kld": k, ".n": 5.0, ".beta": 0.5},
            "out.mse + out.beta*out.kld",
        ),
        (lambda r, k, _w: {".mse": r, ".kld": k, ".n": 5.0}, "out.mse + out.kld"),
        (lambda r, k, _w: {"[0]": r + max(k - 900.0, 0.0), "[1]": k}, "out[0]"),
        (lambda r, k, _w: {"[0]": r + min(k, 0.5), "[1]": k}, "out[0]"),
        (lambda r, k, _w: {"[0]": float("nan") if k > 99 else r + k, "[1]": r}, "out[0]"),
    ],
)
def test_the_total_is_the_output_with_both_terms(terms: Terms, expected: str) -> None:
    """One called like a total, else the first that feels both, else their weighted sum."""
    assert total(terms) == Total(expected)


def test_a_weight_of_nothing_is_raised_to_see_what_it_weighs() -> None:
    """With beta = 0 the first output feels no latents until beta is another number."""
    found = total(lambda r, k, w: {"[0]": r + w["beta"] * k, "[1]": r, "[2]": k}, beta=0.0)
    assert found == Total("out[0]")


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        (lambda r, k, _w: {"[0]": r, "[1]": 2 * r, "[2]": k}, "out[0] + out[1] + out[2]"),
        (lambda r, k, _w: {"[0]": r, "[1]": k, "[2]": 2 * k}, "out[0] + out[1] + out[2]"),
        (
            lambda r, k, _w: {"[0]": r, "[1]": k, "[2]": 2 * k, "[3]": 0.5},
            "out[0] + out[3]*(out[1] + out[2])",
        ),
        (lambda r, k, _w: {"[0]": r, "[1]": k, "[2]": 0.5, "[3]": 2.0}, "out[0] + out[1]"),
    ],
)
def test_a_total_of_more_than_two_parts_is_in_doubt(terms: Terms, expected: str) -> None:
    """It is told, and another one may be asked for."""
    found = total(terms)
    assert found.expression == expected
    assert found.doubt == "none of its outputs has both terms, and more than two have one"


def test_what_moves_by_rounding_alone_is_not_felt() -> None:
    """A hundred-millionth of a number in single precision, and none in double."""

    def trace(r: float, k: float, _: Mapping[str, float]) -> Mapping[str, object]:
        return {"[0]": r * (1 + 1e-8 * min(k, 1.0)), "[1]": r + k}

    assert total(trace, single=True).expression == "out[1]"
    assert total(trace).expression == "out[0]"


def test_a_loss_that_refuses_a_probe_is_judged_by_the_others() -> None:
    """Far latents may be refused; a loss that does not return stops everything."""

    def refusing(stage: str) -> Terms:
        return lambda r, k, _: {"failure": stage} if k > 99 else {"[0]": r, "[1]": r + k}

    assert total(refusing("call")).expression == "out[1]"
    assert total(refusing("not finite")).expression == "out[1]"
    with pytest.raises(Stopped):
        total(refusing("call time"))


def test_a_loss_without_a_number_is_none() -> None:
    """Its types are told."""
    with pytest.raises(Stopped) as stop:
        total(lambda _r, _k, _w: {"[0]": "text", "[1]": None})
    assert stop.value.failure == Failure("type", "", "str, NoneType")
    with pytest.raises(Stopped) as stop:
        total(lambda _r, _k, _w: {})
    assert stop.value.failure == Failure("type", "", "an empty tuple")


OUTPUTS = (
    Output("[0]", (), 2.0, 0, False),
    Output('["kl"]', (), 3.0, 0, False),
    Output(".text", (), 0.0, 0, False, "str"),
)


@pytest.mark.parametrize(
    ("asked", "worth"),
    [
        *(("out[0]", 2.0), ("-out[0]", -2.0), ("out[0] + out['kl']", 5.0), (" 4 * out[0]", 8.0)),
        *(('out[0] - 0.5*out["kl"]', 0.5), ("(out[0] + 1)/out['kl']", 1.0), ("7", 7.0)),
    ],
)
def test_a_total_that_is_asked_for_is_arithmetic(asked: str, worth: float) -> None:
    """And its negative is minus that."""
    found = read_total(asked)
    assert found.value(OUTPUTS) == worth
    assert found.negative().value(OUTPUTS) == -worth
    assert [out.path for out in found.used(OUTPUTS)] == [
        out.path for out in OUTPUTS[:2] if out.path.replace('"', "'") in asked.replace('"', "'")
    ]


@pytest.mark.parametrize(
    "asked",
    [
        "",
        "out[0] +",
        "f(out)",
        "-f(out)",
        "f(out) + 1",
        "1 - f(out)",
        "out[0] ** 2",
        "+out[0]",
        "other[0]",
        "'a'",
        "not out",
    ],
)
def test_what_is_no_arithmetic_is_refused(asked: str) -> None:
    """With an example of what is."""
    with pytest.raises(AuditError, match=r"--total 'out\[0\] \+ out\[2\]\*out\[1\]'"):
        read_total(asked)


def test_an_output_that_is_missing_or_no_number_stops_the_audit() -> None:
    """The ones that there are stand beside it."""
    with pytest.raises(Stopped) as stop:
        read_total("out[1]").value(OUTPUTS)
    assert stop.value.failure == Failure("total", "", "out[1]", 'out[0], out["kl"], out.text')
    with pytest.raises(Stopped) as stop:
        read_total("out.text").value(OUTPUTS)
    assert stop.value.failure == Failure("type", "", "str")


def test_a_negative_is_written_as_one_would() -> None:
    """With brackets around a sum alone."""
    assert Total("out").negative().expression == "-out"
    assert Total("out[0] + out[1]", "why").negative() == Total("-(out[0] + out[1])", "why")
