"""One run: its complete settings, their canonical form, and its id."""

import functools
import hashlib
import json
import operator
import re
from collections.abc import Iterable
from dataclasses import dataclass, fields

from lossbench.loss import likelihood
from lossbench.network import Network, dense
from lossbench.schema import FORMAT_VERSION

_CANONICAL_JSON = json.JSONEncoder(sort_keys=True, separators=(",", ":"))
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9.+-]")
_OPTIONAL = ("definition", "iwae_samples")


def canonical(number: float) -> float:
    """Return ``number`` to 12 significant digits, with no negative zero.

    >>> canonical(0.1 + 0.2)
    0.3
    """
    return float(f"{number:.12g}") + 0.0


def layers_text(hidden: Iterable[int]) -> str:
    """Return hidden layers as a table shows them and an option takes them.

    >>> layers_text((64, 32)), layers_text(())
    ('64x32', 'linear')
    """
    return "x".join(map(str, hidden)) or "linear"


@dataclass(frozen=True)
class RunSettings:
    """The complete settings of one run, defaults spelt out.

    Two runs are the same run exactly if their ``identity`` is. The coefficients ``a`` and
    ``b`` of the trained objective ``a*R + b*K`` and ``beta_eff = b/a`` follow from the loss
    convention and the sizes; ``time_limit`` (seconds) says how long to wait for a run.
    ``definition`` spells out a convention of the experiment's own, and is empty for one of the
    catalogue; ``iwae_samples`` is 0 where no importance-weighted bound is asked for. Empty or
    0 they are no part of the identity.
    """

    dataset: str
    loss: str
    reconstruction_loss: str
    beta: float
    d: int
    k: int
    hidden: tuple[int, ...]
    noise_std: float
    epochs: int
    batch_size: int
    optimizer: str
    learning_rate: float
    learning_rate_decay: float
    epsilon: float
    eval_every: int
    seed: int
    a: float
    b: float
    beta_eff: float
    time_limit: float
    definition: str = ""
    iwae_samples: int = 0

    @property
    def network(self) -> Network:
        """The network that is trained; its description follows from the settings."""
        probabilities = likelihood(self.reconstruction_loss).decodes_probabilities
        return dense(self.d, self.k, self.hidden, probabilities=probabilities)

    def identity(self) -> dict[str, object]:
        """Return what makes the run this run, in canonical form."""
        return _identity_of(_all_but_seed(self)) | {"seed": self.seed}

    @functools.cached_property
    def run_id(self) -> str:
        """A readable slug and ten hex digits of the hash of the identity; never parsed."""
        before, after = _around_seed(*_all_but_seed(self))
        digits = hashlib.sha256(f"{before}{self.seed}{after}".encode()).hexdigest()[:10]
        slug = (
            f"{self.loss}-{self.reconstruction_loss}-beta{self.beta:.6g}"
            f"-d{self.d}-k{self.k}-seed{self.seed}"
        )
        return f"{_NOT_IN_A_NAME.sub('_', slug)}-{digits}"


_FIELDS = tuple(field.name for field in fields(RunSettings))
_ALL_BUT_SEED = tuple(
    name for name in _FIELDS if name not in ("a", "b", "beta_eff", "time_limit", "seed")
)
_all_but_seed = operator.attrgetter(*_ALL_BUT_SEED)
place = operator.attrgetter(*_FIELDS)  # of a run among others: by its settings, in their order


def _identity_of(values: Iterable[object]) -> dict[str, object]:
    """Return what makes a run this run, but for its seed."""
    named = zip(_ALL_BUT_SEED, values, strict=True)
    return {name: value for name, value in named if value or name not in _OPTIONAL}


@functools.lru_cache(maxsize=1, typed=True)
def _around_seed(*values: object) -> tuple[str, str]:
    """Return the text of an identity up to its seed and after it, which all seeds share."""
    text = _CANONICAL_JSON.encode(
        {"format": FORMAT_VERSION} | _identity_of(values) | {"seed": 0}
    )  # within a name its quotes would be escaped
    before, mark, after = text.partition('"seed":0')
    return before + mark.removesuffix("0"), after
