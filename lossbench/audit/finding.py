"""A finding, and the evidence that findings are read from."""

from collections.abc import Mapping
from dataclasses import dataclass

from lossbench.audit.answer import Found
from lossbench.audit.laws import Law
from lossbench.audit.probe import Probe
from lossbench.audit.probing import Probing
from lossbench.audit.scaling import Survey
from lossbench.audit.terms import Kl, Reconstruction


@dataclass(frozen=True)
class Finding:
    """One thing to look at: its ``code``, a sentence, whether it is surely a mistake."""

    code: str
    text: str
    certain: bool = True


@dataclass(frozen=True)
class Evidence:
    """Everything that findings are read from; laws are ``None`` where no formula was found."""

    probing: Probing
    base: Probe
    found: Found
    reconstruction: Reconstruction
    kl: Kl
    survey: Survey
    a: Law | None
    b: Law | None
    settings: Mapping[str, object]
