"""What trips a gate: every threshold of it, on both sides."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import test_audit_kinds

from lossbench.auditing import (
    Audit,
    Coefficient,
    Finding,
    Options,
    Target,
    check,
    hold,
    read_baseline,
    read_options,
)
from lossbench.errors import AuditError, GateTrippedError

WHERE = Target(Path("vae.py"))
HARMLESS = Finding("idle_weight", "It has no effect on the loss.", changes=False)
CHANGING = Finding("kl_floor", "There is a floor of 3 nats.")


def audit_with(value: float, error: float = 0.0, *findings: Finding, **facts: Any) -> Audit:
    """Return the audit of a plain loss with another beta_eff and other findings."""
    eff = Coefficient(value, error, facts.pop("formula", None), facts.pop("either", ()))
    return replace(test_audit_kinds.found("in_a_record"), beta_eff=eff, findings=findings, **facts)


def tripped(call: Callable[[], object]) -> GateTrippedError:
    """Return what a gate says that has to trip."""
    with pytest.raises(GateTrippedError) as trip:
        call()
    return trip.value


@pytest.mark.parametrize(
    ("value", "error", "passes"),
    [
        *((1.0, 0.0, True), (1.0009, 0.0, True), (1.0012, 0.0, False), (0.9985, 0.0, False)),
        *((1.029, 0.01, True), (1.031, 0.01, False), (0.971, 0.01, True), (0.969, 0.01, False)),
        *((1.0, 0.066, True), (1.0, 0.067, False), (-1.0, 0.0, False)),
        *((math.nan, 0.0, False), (math.inf, 0.0, False)),
    ],
)
def test_beta_eff_is_met_to_a_thousandth_or_three_standard_errors(
    value: float, error: float, passes: bool
) -> None:
    """But a number whose three standard errors are a fifth of it is none."""
    found = audit_with(value, error)
    if passes:
        check(found, 1.0, strict=False)
    else:
        tripped(lambda: check(found, 1.0, strict=False))


def test_a_gate_says_what_is_expected_and_what_came() -> None:
    """With the advice where it is beta_eff that is off."""
    off = audit_with(4.0, 0.01, CHANGING, CHANGING, HARMLESS, formula="d/k", change="multiply.")
    said = str(tripped(lambda: check(off, 1.0, strict=False)))
    assert "in_a_record does not train the objective that is expected" in said
    assert "expected: beta_eff = 1, no finding that changes it" in said
    assert "received: beta_eff = 4 ± 0.03 = d/k; There is a floor of 3 nats\n" in said
    assert "--expect-beta-eff" in said
    assert "multiply." in said
    strict = str(tripped(lambda: check(off, None, strict=True)))
    assert "expected: no finding" in strict
    assert "received: There is a floor of 3 nats; It has no effect on the loss" in strict
    assert "multiply." not in strict
    assert "--strict" in strict
    said = str(tripped(lambda: check(audit_with(-1.0, formula="-1"), 1.0, strict=False)))
    assert "received: beta_eff = -1\n" in said
    both = str(tripped(lambda: check(off, 4.0, strict=True)))
    assert "expected: beta_eff = 4, no finding\n" in both
    unknown = str(tripped(lambda: check(audit_with(math.nan), 1.0, strict=False)))
    assert "received: beta_eff is not known" in unknown
    follows = audit_with(math.nan, formula="2*mse")
    said = str(tripped(lambda: check(follows, 1.0, strict=False)))
    assert "received: beta_eff = 2*mse, which is no number" in said


def test_what_changes_nothing_trips_no_gate_but_a_strict_one() -> None:
    """And without an expectation only a strict gate looks at findings."""
    check(audit_with(1.0, 0.0, HARMLESS), 1.0, strict=False)
    check(audit_with(5.0, 0.0, CHANGING), None, strict=False)
    check(audit_with(5.0), None, strict=True)
    tripped(lambda: check(audit_with(1.0, 0.0, HARMLESS), 1.0, strict=True))
    tripped(lambda: check(audit_with(1.0, 0.0, CHANGING), 1.0, strict=False))
    tripped(lambda: check(audit_with(1.0, 0.0, HARMLESS), None, strict=True))


def options(**asked: Any) -> Options:
    """Return what a baseline is asked with."""
    sizes = {"d": 12, "k": 3, "batch_size": 8, "n_images": 100} | asked
    return read_options(WHERE, *sizes.values(), None, None, (), (), None, 60.0)


def held(
    found: Audit | str, was: Audit | str, folder: Path, name: str = "vae.py:f"
) -> tuple[str, ...]:
    """Hold one audit against a baseline of another one; return what is new."""
    path = folder / "baseline.json"
    where = Target(folder / "vae.py")
    target = str(folder / name)
    hold({target: was}, read_baseline(path), where, options(), update=True)
    return hold({target: found}, read_baseline(path), where, options(), update=False).new


@pytest.mark.parametrize(
    ("was", "now", "told"),
    [
        (audit_with(1.0), audit_with(1.0009), ""),
        (audit_with(1.0), audit_with(1.002), "beta_eff 1 -> 1.002"),
        (audit_with(1.0, 0.01), audit_with(1.04, 0.01), ""),
        (audit_with(1.0, 0.01), audit_with(1.044, 0.01), "beta_eff 1 -> 1.044"),
        (audit_with(1.0, formula="1"), audit_with(1.0, formula="d/12"), "beta_eff 1 -> 1 (d/12)"),
        (audit_with(1.0, formula="1"), audit_with(1.0), ""),
        (audit_with(math.nan, formula="2*mse"), audit_with(math.nan, formula="2*mse"), ""),
        (
            audit_with(math.nan, formula="2*mse"),
            audit_with(math.nan, formula="mse"),
            "beta_eff 2*mse -> mse",
        ),
        (audit_with(math.nan), audit_with(1.0), "beta_eff none -> 1"),
        (audit_with(1.0), audit_with(math.nan), "beta_eff 1 -> none"),
        (audit_with(0.2, either=("1/k", "0.2")), audit_with(0.2, either=("1/k", "0.2")), ""),
        (
            audit_with(1.0),
            audit_with(1.0, 0.0, CHANGING, CHANGING),
            "what is wrong none -> kl floor",
        ),
        (audit_with(1.0), audit_with(1.0, 0.0, HARMLESS), ""),
        (
            audit_with(1.0),
            audit_with(1.0, reconstruction=None),
            "reconstruction mse -> none",
        ),
        (
            audit_with(1.0),
            audit_with(2.0, kl_form="floor"),
            "KL closed -> floor, beta_eff 1 -> 2",
        ),
        (audit_with(1.0), "it is gone", "could be audited, and now: it is gone"),
        ("it was broken", "it is broken", ""),
        ("it was broken", audit_with(1.0), ""),
    ],
)
def test_a_baseline_holds_what_decides_the_objective(
    tmp_path: Path, was: Audit | str, now: Audit | str, told: str
) -> None:
    """Its number with its noise, its formula, its form, what changes it; no more than that."""
    if not told:
        new = held(now, was, tmp_path)
        assert new == (("vae.py:f",) if isinstance(was, str) and isinstance(now, Audit) else ())
        return
    said = str(tripped(lambda: held(now, was, tmp_path)))
    assert "a loss trains something else" in said
    assert f"received: vae.py:f: {told}\n" in said
    assert "--update-baseline" in said


def test_every_loss_that_changed_is_told(tmp_path: Path) -> None:
    """With their number."""
    path, where = tmp_path / "baseline.json", Target(tmp_path)
    files = [str(tmp_path / name) for name in ("a.py:f", "sub/b.py:g", "c.py:h")]
    was = dict.fromkeys(files, audit_with(1.0))
    written = hold(was, read_baseline(path), where, options(), update=False)
    assert (written.n_written, written.new, written.gone) == (3, (), ())
    now = dict.fromkeys(files[:2], audit_with(2.0))
    said = str(tripped(lambda: hold(now, read_baseline(path), where, options(), update=False)))
    assert "2 losses train something else" in said
    assert "a.py:f: beta_eff 1 -> 2\n    sub/b.py:g: beta_eff 1 -> 2" in said
    same = dict.fromkeys(files[:2], audit_with(1.0))
    after = hold(same, read_baseline(path), where, options(), update=False)
    assert (after.n_written, after.new, after.gone) == (None, (), ("c.py:h",))
    one = Target(tmp_path / "sub")
    after = hold({files[1]: audit_with(1.0)}, read_baseline(path), one, options(), update=False)
    assert after.gone == ()


def test_a_baseline_keeps_what_it_was_asked_with(tmp_path: Path) -> None:
    """And refuses another question, naming what differs."""
    path, target = tmp_path / "baseline.json", str(tmp_path / "vae.py:f")
    noisy = audit_with(0.123456789, 0.0123456, HARMLESS, CHANGING, either=("1/k", "0.12"))
    hold({target: noisy}, read_baseline(path), WHERE, options(), update=True)
    facts = json.loads(path.read_text("utf-8"))
    assert facts["format"] == 1
    assert facts["losses"]["vae.py:f"] == {
        **{"d": 12, "k": 3, "batch_size": 8, "n_images": 100, "settings": {}},
        **{"reconstruction": "mse", "kl_form": "closed", "beta_eff": 0.123457, "error": 0.012},
        **{"formula": "1/k or 0.12", "findings": ["kl_floor"]},
    }
    for asked in ({"d": 13}, {"k": 4}, {"batch_size": 9}, {"n_images": 99}):
        ((name, value),) = asked.items()
        other = options(**asked)
        with pytest.raises(AuditError, match=f"received: {name} {value}"):
            hold({target: noisy}, read_baseline(path), WHERE, other, update=False)
