"""Conventions of the user's own: ``[convention.NAME]`` tables in an experiment file.

A table gives the reductions ``over_inputs``, ``over_latents`` and ``over_batch`` and the
formulas ``reconstruction_factor`` and ``kl_factor`` in d, k, B, N and beta. Formulas are parsed,
never executed.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import cast

from lossbench.errors import ExperimentError, UsageError, did_you_mean
from lossbench.experiment.own_loss import OwnLoss, read_own
from lossbench.loss import Convention, Reduction, Sizes, catalogue, convention, is_own
from lossbench.settings import Value

SECTION = "convention"

Definitions = Mapping[str, Convention]
Where = Callable[[str, str], str]

_REDUCTIONS = {"over_inputs": "", "over_latents": "", "over_batch": "mean"}
_FORMULAS = {"reconstruction_factor": "1", "kl_factor": "beta"}
_DEFAULTS = _REDUCTIONS | _FORMULAS
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
_PROBE = Sizes(d=101, k=13, batch_size=103, n_images=1_009)  # primes: nothing cancels
_BETAS = (Fraction(1), Fraction(3), Fraction(2, 7))


def definitions(tables: object, where: Where) -> dict[str, Convention]:
    """Return the conventions that a file defines.

    ``where`` gives the place of a key in a section. ``ExperimentError`` names it for a name
    that is taken, a key that is unknown or missing, or a formula that is none.
    """
    if not isinstance(tables, dict):
        raise ExperimentError(
            f"`{SECTION}` is not a table of conventions",
            where=where(SECTION, ""),
            expected=f"[{SECTION}.NAME] with {', '.join(_DEFAULTS)}",
            received=repr(tables),
        )
    return {name: _definition(name, table, where) for name, table in tables.items()}


def _definition(name: str, table: object, where: Where) -> Convention:
    section = f"{SECTION}.{name}"
    if name in catalogue() or not _NAME.fullmatch(name):
        raise ExperimentError(
            f"a convention of your own cannot be called {name!r}",
            where=where(section, ""),
            expected="a name of letters, digits, - and _ that the catalogue does not have",
            received=repr(name),
            remedy=f"choose another, such as my-{name}" if name in catalogue() else "",
        )
    if not isinstance(table, dict):
        raise ExperimentError(
            f"`{name}` is not a convention",
            where=where(name, SECTION),
            expected=f"a section [{section}] with {', '.join(_DEFAULTS)}",
            received=repr(table),
        )
    for key in table:
        if key not in _DEFAULTS:
            raise ExperimentError(
                f"unknown key `{key}` of a convention",
                where=where(key, section),
                expected=f"one of {', '.join(_DEFAULTS)}",
                received=key,
                remedy=did_you_mean(key, _DEFAULTS),
            )
    fields = {
        key: _field(key, table.get(key, default), section, where)
        for key, default in _DEFAULTS.items()
    }
    defined = Convention(
        name=name,
        title="the experiment's own",
        over_inputs=cast(Reduction, fields["over_inputs"]),
        over_latents=cast(Reduction, fields["over_latents"]),
        over_batch=cast(Reduction, fields["over_batch"]),
        reconstruction_factor=fields["reconstruction_factor"],
        kl_factor=fields["kl_factor"],
    )
    _check_formulas(defined, lambda key: where(key, section))
    return defined


def _field(key: str, item: object, section: str, where: Where) -> str:
    expected = "sum or mean" if key in _REDUCTIONS else 'a formula in quotes, such as "beta/2"'
    if isinstance(item, str) and (key in _FORMULAS or item in ("sum", "mean")):
        return item
    missing = item == ""
    raise ExperimentError(
        f"`{key}` is missing" if missing else f"`{key}` has a value that it cannot take",
        where=where(section if missing else key, "" if missing else section),
        expected=f"{key} = {expected}" if missing else expected,
        received="" if missing else repr(item),
    )


def _check_formulas(defined: Convention, where: Callable[[str], str]) -> None:
    """Refuse a formula that is none, or in which beta is more than a factor on the KL.

    A sweep's beta multiplies b: a formula such as ``beta**2`` would promise something else.
    """
    for key, is_proportional in (("reconstruction_factor", False), ("kl_factor", True)):
        try:
            found = [_factor(defined, key, beta) for beta in _BETAS]
        except UsageError as error:
            raise ExperimentError(
                f"`{key}`: {error.problem}",
                where=where(key),
                expected=error.expected,
                received=" in ".join(filter(None, (error.received, repr(getattr(defined, key))))),
            ) from None
        constant = len(set(found)) == 1
        linear = is_proportional and len({f / b for f, b in zip(found, _BETAS, strict=True)}) == 1
        if not constant and not linear:
            raise ExperimentError(
                f"`{key}` has beta in a place where it is not a factor on the KL term",
                where=where(key),
                expected='beta, if anywhere, as a factor of kl_factor, such as "beta/2"',
                received=repr(getattr(defined, key)),
            )


def _factor(defined: Convention, key: str, beta: Fraction) -> Fraction:
    """Return the value of one formula at the sizes that formulas are tried at."""
    formula = getattr(defined, key)
    alone = Convention(
        defined.name,
        "",
        "sum",
        "sum",
        "mean",
        **{"reconstruction_factor": "1", "kl_factor": "1", key: formula},
        default_beta=beta,
    )
    found = alone.coefficients(_PROBE, 1)
    return found.a if key == "reconstruction_factor" else found.b


def known(name: str, own: Definitions, where: str = "") -> Convention:
    """Return the convention of that name, the experiment's own or the catalogue's.

    ``ExperimentError`` names ``where`` it is asked for, and the nearest names.
    """
    if name in own:
        return own[name]
    try:
        return convention(name)
    except UsageError as error:
        raise ExperimentError(
            error.problem,
            where=where,
            expected=error.expected,
            received=error.received,
            remedy=did_you_mean(name, own) or error.remedy,
        ) from None


def located(
    losses: Iterable[Value], own: Definitions, where: str, beside: Path | None = None
) -> tuple[tuple[str, ...], dict[str, Convention]]:
    """Return the names of losses as tables have them, and the experiment's own with those of files.

    ``ExperimentError`` if one is not known, or if two files of one name are not the same.
    """
    known_now, names = dict(own), []
    for text in map(str, losses):
        name = text
        if is_own(text) and text not in own:
            loss = read_own(text, where, beside)
            name = loss.name
            if identity_of(known_now.setdefault(name, loss)) != loss.identity:
                raise ExperimentError(
                    f"two files are called {loss.file_name}",
                    where=where,
                    expected="losses that tables can tell apart",
                    received=text,
                    remedy="rename one of the files",
                )
        known(name, known_now, where)
        names.append(name)
    return tuple(dict.fromkeys(names)), known_now


def identity_of(loss: Convention) -> str:
    """Return what makes a convention of the experiment's own this one, in canonical form.

    >>> identity_of(Convention("mine", "", "mean", "sum", "mean", "d", "beta / 2"))
    'mean sum mean d beta/2'
    """
    if isinstance(loss, OwnLoss):
        return loss.identity
    parts = (getattr(loss, key) for key in _DEFAULTS)
    return " ".join("".join(part.split()) for part in parts)


def shown_of(loss: Convention) -> str:
    """Return what makes a convention of the experiment's own this one, as an error tells it."""
    if isinstance(loss, OwnLoss):
        return f"a file of SHA-256 {loss.sha256[:12]}"
    return identity_of(loss)


def tables_of(own: Definitions) -> dict[str, dict[str, str]]:
    """Return the tables that define these conventions, every key spelt out."""
    return {
        name: {key: getattr(loss, key) for key in _DEFAULTS}
        for name, loss in own.items()
        if not isinstance(loss, OwnLoss)
    }
