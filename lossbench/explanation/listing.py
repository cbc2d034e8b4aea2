"""The catalogue at given sizes: every loss's formula and beta_eff, and what surprises in them."""

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from pathlib import Path

from lossbench.errors import UsageError, did_you_mean
from lossbench.loss import Entry, Objective, Sizes, catalogue
from lossbench.words import setting, significant

_LEADING_NUMBER = re.compile(r"(\d+(?:\.\d+)?(?:e-?\d+)?)(?![\w.])(.*)")
DEFAULT_SIZES = Sizes(d=784, k=2, batch_size=128, n_images=60_000)
_LARGEST_BETA = 1e12
_LARGEST_SIZE = 10**9
_FORMS = {
    "kl_schedule": "warm-up",
    "free_bits": "floor",
    "capacity": "capacity",
    "kl_estimator": "sampled KL",
}
_PROBES = (97, 1009)  # sizes at which a formula that depends on them shows it


@dataclass(frozen=True)
class Listed:
    """One row of the catalogue at given sizes, with the user's ``beta`` on its KL term.

    ``formula`` is beta_eff in d, k, B, N and beta. ``depends_on_batch`` and ``depends_on_data``
    are of beta_eff, ``scale_depends_on_batch`` of the scale ``a``.
    """

    entry: Entry
    sizes: Sizes
    beta: Fraction
    formula: str
    coefficients: Objective[Fraction]
    depends_on_batch: bool
    depends_on_data: bool
    scale_depends_on_batch: bool

    @property
    def beta_eff(self) -> Fraction:
        """The effective weight."""
        return self.coefficients.beta_eff

    @property
    def averaged(self) -> tuple[str, ...]:
        """The sizes that the loss averages over, of d, k and B; it sums over the others."""
        loss = self.entry.convention
        reductions = {"d": loss.over_inputs, "k": loss.over_latents, "B": loss.over_batch}
        return tuple(size for size, reduction in reductions.items() if reduction == "mean")

    @property
    def flags(self) -> tuple[str, ...]:
        """What surprises, a word or two each."""
        surprises = {
            "B": self.depends_on_batch,
            "N": self.depends_on_data,
            "scale B": self.scale_depends_on_batch and not self.depends_on_batch,
            f"noise {setting(self.entry.noise_std)}": self.entry.noise_std != 1,
        }
        flags = [flag for flag, holds in surprises.items() if holds]
        flags += [_FORMS[name] for name in self.entry.own if name in _FORMS]
        if self.entry.is_scaling_alone:
            sigma = self.entry.own.get("sigma", "")
            flags.append(f"own {self.entry.likelihood}" + f", sigma {sigma}" * bool(sigma))
        return (*flags, *(["approximately"] if self.entry.approximately else []))

    def facts(self) -> dict[str, object]:
        """Return the row as JSON has it."""
        entry, loss = self.entry, self.entry.convention
        return {
            "loss": entry.name,
            "title": loss.title,
            "lineage": entry.lineage,
            "source": entry.source,
            "citation": entry.citation,
            "date": entry.date,
            "reconstruction": entry.reconstruction,
            "over_inputs": loss.over_inputs,
            "over_latents": loss.over_latents,
            "over_batch": loss.over_batch,
            "reconstruction_factor": loss.reconstruction_factor,
            "kl_factor": loss.kl_factor,
            "default_beta": float(loss.default_beta),
            "noise_std": entry.noise_std,
            "trainable": entry.trainable,
            "reason": entry.reason or None,
            "own": dict(entry.own),
            "approximately": entry.approximately or None,
            "likelihood": entry.likelihood or None,
            "flags": self.flags,
            "note": entry.note,
            **asdict(self.sizes),
            "beta": self.beta,
            "formula": self.formula,
            **coefficient_facts(self.coefficients),
        }


def coefficient_facts(coefficients: Objective[Fraction]) -> dict[str, Fraction]:
    """Return a, b and beta_eff as JSON has them."""
    return {"a": coefficients.a, "b": coefficients.b, "beta_eff": coefficients.beta_eff}


def listing(sizes: Sizes, beta: Fraction) -> tuple[Listed, ...]:
    """Return the whole catalogue at the same sizes, in its own order."""
    return tuple(listed(entry, sizes, beta) for entry in catalogue().values())


def lineage(name: str, asked: Sizes, beta: Fraction) -> tuple[Listed, ...]:
    """Return the rows of one code base by date, each at the sizes that it was published with.

    A size that is asked for, or that was not published, is taken instead. ``UsageError``
    names the nearest lineages.
    """
    entries = [entry for entry in catalogue().values() if entry.lineage == name]
    if not entries:
        known = Counter(entry.lineage for entry in catalogue().values())
        histories = [lineage for lineage, n_rows in known.items() if n_rows > 1]
        raise UsageError(
            f"no lineage is called {name!r}",
            where="--lineage",
            expected=f"{', '.join(histories)}; or one of those with a single row",
            received=repr(name),
            remedy=did_you_mean(name, known),
        )
    return tuple(
        listed(entry, completed(asked, entry.sizes, DEFAULT_SIZES), beta)
        for entry in sorted(entries, key=lambda entry: _when(entry.date))
    )


def listed(entry: Entry, sizes: Sizes, beta: Fraction) -> Listed:
    """Return one row at these sizes; ``UsageError`` says which size it lacks."""

    def depends(
        change: Callable[[int], Sizes], part: Callable[[Objective[Fraction]], Fraction]
    ) -> bool:
        values = {part(entry.convention.coefficients(change(probe), 1)) for probe in _PROBES}
        return len(values) > 1

    probed = Sizes(d=31, k=7, batch_size=_PROBES[0], n_images=_PROBES[0])
    return Listed(
        entry=entry,
        sizes=sizes,
        beta=beta,
        formula=shown(weighted(entry.beta_eff, entry)),
        coefficients=entry.convention.coefficients(sizes, beta),
        depends_on_batch=depends(lambda n: replace(probed, batch_size=n), lambda c: c.beta_eff),
        depends_on_data=depends(lambda n: replace(probed, n_images=n), lambda c: c.beta_eff),
        scale_depends_on_batch=depends(lambda n: replace(probed, batch_size=n), lambda c: c.a),
    )


def completed(*choices: Sizes) -> Sizes:
    """Return each size from the first of the choices that knows it."""

    def first(field: str) -> int | None:
        values = (getattr(sizes, field) for sizes in choices)
        return next((value for value in values if value is not None), None)

    return Sizes(first("d"), first("k"), first("batch_size"), first("n_images"))


def sizes_of(dataset: str, data_dir: Path | None = None) -> Sizes:
    """Return the d of a data set and the number of its training images; raises DataError."""
    from lossbench import data  # noqa: PLC0415 - the algebra is told without NumPy

    d, n_images, _ = data.native_sizes(dataset, data_dir)
    return Sizes(d=d, n_images=n_images)


def read_weight(beta: float | Fraction) -> Fraction:
    """Return a weight on the KL term exactly as it is written; ``UsageError`` if it is none."""
    if not (math.isfinite(beta) and 0 <= beta < _LARGEST_BETA):
        raise UsageError(
            "`beta` has a value that it cannot take",
            where="--beta",
            expected="a number of at least 0, below 1e12",
            received=setting(float(beta)),
        )
    return beta if isinstance(beta, Fraction) else Fraction(repr(float(beta)))


def checked(sizes: Sizes) -> Sizes:
    """Return sizes that can be; ``UsageError`` names the one that cannot."""
    options = {"d": "--d", "k": "--k", "B": "--batch-size", "N": "--n-images"}
    for letter, size in sizes.symbols().items():
        if not 1 <= size <= _LARGEST_SIZE:
            raise UsageError(
                f"`{options[letter][2:].replace('-', '_')}` has a value that it cannot take",
                where=options[letter],
                expected="a whole number of at least 1, at most 1e9",
                received=str(size),
            )
    return sizes


def weighted(formula: str, entry: Entry) -> str:
    """Return a formula of b or beta_eff with the user's beta in it.

    The catalogue's beta is the published weight, and the user's beta multiplies it.
    """
    published = entry.convention.default_beta
    if re.search(r"\bbeta\b", formula):
        return re.sub(
            r"\bbeta\b", "beta" if published == 1 else f"{significant(published)}*beta", formula
        )
    return _times_beta(formula)


def _times_beta(formula: str) -> str:
    """Return the formula times beta.

    >>> [_times_beta(text) for text in ("1", "0", "1/d", "5*B/k", "1e-3/k", "d/k")]
    ['beta', '0', 'beta/d', '5*beta*B/k', '1e-3*beta/k', 'beta*d/k']
    """
    leading = _LEADING_NUMBER.fullmatch(formula)
    if leading is None:
        return f"beta*{formula}"
    if leading[1] == "0":
        return formula
    return f"beta{leading[2]}" if leading[1] == "1" else f"{leading[1]}*beta{leading[2]}"


def shown(formula: str) -> str:
    """Return a formula as people write powers.

    >>> shown("d/(3*k**2)")
    'd/(3*k^2)'
    """
    return formula.replace("**", "^")


def equation(
    name: str, formula: str, symbols: Mapping[str, Fraction | int], value: Fraction
) -> str:
    """Return ``name = formula = numbers put in = value``, without repetitions.

    >>> equation("b", "beta/k", {"beta": 1, "k": 2}, Fraction(1, 2))
    'b = beta/k = 1/2 = 0.5'
    """
    with_numbers = re.sub(
        r"\b(?:d|k|B|N|beta)\b", lambda symbol: significant(symbols[symbol[0]]), formula
    )
    parts = [name, shown(formula), shown(with_numbers), significant(value)]
    return " = ".join(dict.fromkeys(parts))


def _when(date: str) -> tuple[str, bool]:
    """Return where a date sorts; ``after`` a day is later than that day."""
    day = re.search(r"\d{4}(-\d\d-\d\d)?", date)
    return (day[0] if day else "9999", date.startswith("after"))
