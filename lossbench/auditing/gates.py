"""What must hold of a loss: a beta_eff, no finding, what a baseline says that it trains."""

import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lossbench.auditing.options import Options, Target
from lossbench.auditing.result import Audit
from lossbench.errors import AuditError, GateTrippedError

_FORMAT = 1
_KEPT = ("reconstruction", "kl_form", "beta_eff", "error", "formula", "findings")
_ASKED = ("d", "k", "batch_size", "n_images", "settings")
_COMPARED = {"reconstruction": "reconstruction", "kl_form": "KL", "findings": "what is wrong"}
_TOLERANCE = 1e-3
_MOST_NOISE = 0.2  # of a beta_eff that counts as known

Trained = dict[str, Any]  # what the file holds of a loss


@dataclass(frozen=True)
class Baseline:
    """A file and the losses in it by ``FILE.py:NAME``; ``None`` where there is no file yet."""

    path: Path
    losses: Mapping[str, Trained] | None


@dataclass(frozen=True)
class Held:
    """What a baseline was held against: what was written, what is ``new`` and ``gone``."""

    n_written: int | None
    new: tuple[str, ...]
    gone: tuple[str, ...]


def check(found: Audit, expected: float | None, *, strict: bool) -> None:
    """Raise ``GateTrippedError`` where a loss does not train what is expected of it.

    ``expected`` is beta_eff, to 0.1% or to three standard errors; nothing that was found may
    change it, and with ``strict`` nothing may be found at all.
    """
    eff = found.beta_eff
    slack = 3 * eff.error
    known = math.isfinite(eff.value) and slack <= _MOST_NOISE * abs(eff.value)
    off = expected is not None and not (
        known and math.isclose(eff.value, expected, rel_tol=_TOLERANCE, abs_tol=slack)
    )
    received = [_told(found)] if off else []
    clauses = [each.clause for each in found.findings if strict or each.changes]
    if clauses and (strict or expected is not None):
        received += dict.fromkeys(clauses)
    if not received:
        return
    wanted = [f"beta_eff = {expected:g}"] if expected is not None else []
    wanted += ["no finding" if strict else "no finding that changes it"]
    raise GateTrippedError(
        f"{found.name} does not train the objective that is expected",
        where="--strict" if expected is None else "--expect-beta-eff",
        expected=", ".join(wanted),
        received="; ".join(received),
        remedy=found.change if off else "",
    )


def _told(found: Audit) -> str:
    """Return beta_eff in words: its value with its formula, or that there is none."""
    eff = found.beta_eff
    shown = f"{eff.value:.6g}"
    formula = f" = {eff.formula}" if eff.formula and eff.formula != shown else ""
    if not math.isfinite(eff.value):
        return f"beta_eff{formula}, which is no number" if formula else "beta_eff is not known"
    error = f" ± {3 * eff.error:.2g}" if eff.error else ""
    return f"beta_eff = {shown}{error}{formula}"


def hold(
    found: Mapping[str, Audit | str],
    baseline: Baseline,
    where: Target,
    options: Options,
    *,
    update: bool,
) -> Held:
    """Hold what was ``found`` in ``where`` against a baseline, which is written if it is missing.

    ``found`` maps targets to audits, or to why there is none. ``update`` writes what is trained
    now. Losses elsewhere stay as they are. ``GateTrippedError`` names each loss that trains
    something else, or can be audited no more; ``AuditError`` if other sizes are asked for.
    """
    from lossbench.store import write_whole  # noqa: PLC0415 - it brings pandas

    path, before = baseline.path, baseline.losses
    now = {_key(target, path): _trained(each, options) for target, each in found.items()}
    if before is None or update:
        kept = {key: each for key, each in (before or {}).items() if not _inside(key, path, where)}
        facts = {"format": _FORMAT, "losses": kept | now}
        write_whole(path, json.dumps(facts, indent=2, sort_keys=True).encode() + b"\n")
        return Held(len(now), (), ())
    _check_asked(now, before, path)
    inside = {key: each for key, each in before.items() if _inside(key, path, where)}
    changed = [
        f"{key}: {told}"
        for key, was in inside.items()
        if key in now and (told := _difference(was, now[key]))
    ]
    if changed:
        one = len(changed) == 1
        raise GateTrippedError(
            f"{'a loss trains' if one else f'{len(changed)} losses train'} something else",
            where=str(path),
            expected="what was trained when the baseline was written",
            received="\n    ".join(changed),
            remedy="if that is meant, the same command with --update-baseline",
        )
    known = {key for key, was in before.items() if "refused" not in was}
    new = [key for key, each in now.items() if "refused" not in each and key not in known]
    return Held(None, tuple(new), tuple(key for key in inside if key not in now))


def _key(target: str, baseline: Path) -> str:
    """Return a target with its file as seen from the baseline's folder: the same everywhere."""
    file, name = target.rsplit(":", 1)
    return f"{_seen_from(baseline, Path(file))}:{name}"


def _seen_from(baseline: Path, file: Path) -> str:
    return Path(os.path.relpath(file.absolute(), baseline.absolute().parent)).as_posix()


def _inside(key: str, baseline: Path, where: Target) -> bool:
    """Return whether a loss of the baseline is among those that were asked for."""
    seen = _seen_from(baseline, where.path)
    if where.name:
        return key == f"{seen}:{where.name}"
    file = key.rpartition(":")[0]
    return seen in (".", file) or file.startswith(f"{seen}/")


def _trained(found: Audit | str, options: Options) -> Trained:
    """Return what a baseline keeps of an audit: what it was asked, what decides the objective."""
    asked = asdict(options.sizes)
    if isinstance(found, str):
        return {**asked, "refused": found}
    eff = found.beta_eff
    return {
        **asked,
        "settings": dict(found.settings),
        "reconstruction": found.reconstruction,
        "kl_form": str(found.kl_form),
        "beta_eff": float(f"{eff.value:.6g}") if math.isfinite(eff.value) else None,
        "error": float(f"{eff.error:.2g}"),
        "formula": eff.formula or " or ".join(eff.either) or None,
        "findings": sorted({each.code for each in found.findings if each.changes}),
    }


def _check_asked(now: Mapping[str, Trained], before: Mapping[str, Trained], path: Path) -> None:
    """Raise ``AuditError`` if a loss was asked about at other sizes, or with other values."""
    for key, each in now.items():
        was = before.get(key, {})
        other = [
            name for name in _ASKED if name in was and name in each and was[name] != each[name]
        ]
        if other:
            raise AuditError(
                f"{key} was asked at other sizes or values",
                where=str(path),
                expected=", ".join(f"{name} {was[name]}" for name in other),
                received=", ".join(f"{name} {each[name]}" for name in other),
                remedy="the options of the command that wrote it, or --update-baseline",
            )


def _difference(was: Trained, now: Trained) -> str:
    """Return in words what differs, ``before -> now``, or an empty string."""
    if "refused" in was:
        return ""
    if "refused" in now:
        return f"could be audited, and now: {now['refused']}"
    told = [
        f"{words} {_shown(was[name])} -> {_shown(now[name])}"
        for name, words in _COMPARED.items()
        if was[name] != now[name]
    ]
    if not _same(was, now):
        told.append(f"beta_eff {_valued(was)} -> {_valued(now)}")
    return ", ".join(told)


def _same(was: Trained, now: Trained) -> bool:
    one, other = was["beta_eff"], now["beta_eff"]
    if one is None or other is None:
        return one is other and was["formula"] == now["formula"]
    slack = 3 * math.hypot(was["error"], now["error"])
    near = math.isclose(one, other, rel_tol=_TOLERANCE, abs_tol=slack)
    formulas = was["formula"], now["formula"]
    return near and (None in formulas or formulas[0] == formulas[1])


def _shown(value: object) -> str:
    text = ", ".join(value) if isinstance(value, list) else str(value or "")
    return text.replace("_", " ") or "none"


def _valued(trained: Trained) -> str:
    value, formula = trained["beta_eff"], trained["formula"]
    if value is None:
        return formula or "none"
    return f"{value:g} ({formula})" if formula and formula != f"{value:g}" else f"{value:g}"


def read_baseline(path: Path) -> Baseline:
    """Return a baseline, or an empty one where there is no file; ``AuditError`` if it is unfit."""
    if not path.parent.is_dir():
        raise AuditError(
            "there is no such folder",
            where=str(path),
            expected="a baseline in a folder that is there",
            received=f"nothing at {path.parent}",
        )
    try:
        facts = json.loads(path.read_text("utf-8"))
        losses = facts["losses"]
        if facts["format"] != _FORMAT or not isinstance(losses, dict):
            raise ValueError(f"format {facts['format']!r}")
        for each in losses.values():
            if "refused" not in each and not set(_KEPT) <= set(each):
                raise ValueError("a loss that lacks what it trained")
    except FileNotFoundError:
        return Baseline(path, None)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AuditError(
            "this is no baseline of an audit",
            where=str(path),
            expected=f"a file that --baseline wrote, format {_FORMAT}",
            received=f"{type(error).__name__}: {error}",
            remedy="delete it, and it is written anew",
        ) from error
    return Baseline(path, losses)
