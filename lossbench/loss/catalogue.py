"""The catalogue: loss conventions found in public code, each with its source.

``catalogue.tsv`` stands beside this file: tab separated, one header row, no quoting. A row
states its reductions and factors, and also a, b and beta_eff as formulas to show; tests hold
the two together. ``blog`` and ``docs`` are the seed question's two.
"""

import csv
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from types import MappingProxyType
from typing import cast

from lossbench.errors import UsageError, did_you_mean
from lossbench.loss.convention import Convention, Reduction, Sizes
from lossbench.loss.formula import evaluate
from lossbench.loss.likelihood import LIKELIHOODS, OWN_SETTINGS

_SIZES = {"d": "d", "k": "k", "B": "batch_size", "N": "n_images"}


@dataclass(frozen=True)
class Entry:
    """One row of the catalogue: a convention, where it is from and what is known of it.

    ``lineage`` groups the rows of one code base; ``origin`` is short for ``source``;
    ``citation`` tells whether the cited version was ``read``, or rests on an ``excerpt`` or a
    ``thread``; ``date`` is an ISO date, a year or ``after`` a date. ``noise_std`` multiplies
    the published code's sampling noise. ``a``, ``b`` and ``beta_eff`` are formulas in which beta
    is the weight as published. ``sizes`` are the published ones; ``beta_at_defaults`` is beta_eff
    there, ``None`` if it is not known. ``own`` are the settings with which a sweep
    trains the row: a schedule, a floor (a formula in k), a capacity, an estimator or a parameter of
    its likelihood. ``approximately`` says what such a training leaves out. ``reason`` says why no
    sweep trains a row; it is empty if one does.
    """

    convention: Convention
    lineage: str
    origin: str
    source: str
    citation: str
    date: str
    reconstruction: str
    noise_std: float
    a: str
    b: str
    beta_eff: str
    sizes: Sizes
    beta_at_defaults: float | None
    reason: str
    note: str
    own: Mapping[str, str]
    approximately: str

    @property
    def name(self) -> str:
        """The name of the convention."""
        return self.convention.name

    @property
    def trainable(self) -> bool:
        """Whether a sweep can train it: ``a*R + b*K``, or that with settings of its own."""
        return not self.reason

    @property
    def is_plain(self) -> bool:
        """Whether a sweep trains it as ``a*R + b*K``, with no settings of its own."""
        return self.trainable and not self.own

    @property
    def likelihood(self) -> str:
        """The name of its own likelihood."""
        return next(
            each.name
            for each in LIKELIHOODS.values()
            if self.reconstruction in (*each.names, *each.published)
        )

    @property
    def is_scaling_alone(self) -> bool:
        """Whether a sweep with bce or mse trains its scaling, and not its likelihood."""
        return self.trainable and not LIKELIHOODS[self.likelihood].is_seeds

    def settings(self, k: int, likelihood: str) -> dict[str, str | float]:
        """Return the settings of its own, at a number of latents.

        A parameter of its own likelihood is none of another one's.
        """
        return {
            name: float(evaluate(text, {"k": k})) if name == "free_bits" else text
            for name, text in self.own.items()
            if likelihood == self.likelihood or name not in OWN_SETTINGS
        }


@functools.cache
def catalogue() -> Mapping[str, Entry]:
    """Return every row of the catalogue under its name, in the order of the file."""
    file = resources.files("lossbench.loss").joinpath("catalogue.tsv")
    lines = file.read_text(encoding="utf-8").splitlines()
    rows = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
    return MappingProxyType({row["name"]: _entry(row) for row in rows})


def _entry(row: Mapping[str, str]) -> Entry:
    published = dict(pair.split("=") for pair in row["defaults"].split())
    return Entry(
        convention=Convention(
            name=row["name"],
            title=row["title"],
            over_inputs=cast(Reduction, row["over_inputs"]),
            over_latents=cast(Reduction, row["over_latents"]),
            over_batch=cast(Reduction, row["over_batch"]),
            reconstruction_factor=row["reconstruction_factor"],
            kl_factor=row["kl_factor"],
            default_beta=evaluate(published.get("beta", "1"), {}),
        ),
        lineage=row["lineage"],
        origin=row["origin"],
        source=row["source"],
        citation=row["citation"],
        date=row["date"],
        reconstruction=row["reconstruction"],
        noise_std=float(row["noise_std"]),
        a=row["a"],
        b=row["b"],
        beta_eff=row["beta_eff"],
        sizes=Sizes(
            **{field: int(published[name]) for name, field in _SIZES.items() if name in published}
        ),
        beta_at_defaults=float(row["beta_at_defaults"]) if row["beta_at_defaults"] else None,
        reason=row["reason"],
        note=row["note"],
        own=MappingProxyType(dict(pair.split("=") for pair in row["own"].split())),
        approximately=row["approximately"],
    )


def entry(name: str) -> Entry:
    """Return the row of that name; ``UsageError`` names the nearest ones."""
    try:
        return catalogue()[name]
    except KeyError:
        raise UsageError(
            f"no loss is called {name!r}",
            expected="blog, docs or another name that `lossbench explain` lists",
            received=repr(name),
            remedy=did_you_mean(name, catalogue()),
        ) from None


def convention(name: str) -> Convention:
    """Return the convention of that name, to be trained.

    ``UsageError`` names the nearest ones, or says why a row cannot be trained.
    """
    found = entry(name)
    if not found.trainable:
        raise UsageError(
            f"no sweep trains {name!r}: {found.reason}",
            expected="a loss whose a and b are formulas in d, k, B, N and beta",
            received=repr(name),
            remedy=f"`lossbench explain {name}` tells what is known of it",
        )
    return found.convention
