"""Every key of an experiment: its section, its type and bounds, its default."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, TypeAdapter, ValidationError

from lossbench.errors import ExperimentError, nearest
from lossbench.loss import NAMES, ReconstructionLoss

Value = str | int | float | tuple[int, ...]

_POSITIVE = Annotated[float, Field(gt=0, allow_inf_nan=False, lt=1e12)]
_WEIGHT = Annotated[float, Field(ge=0, allow_inf_nan=False, lt=1e12)]
_SIZE = Annotated[int, Field(ge=1, le=1_000_000)]


@dataclass(frozen=True)
class Key:
    """One key: where it stands in the file, what it holds and what it means.

    ``default`` is the value that an experiment without the key has; ``expected`` is the rule
    in words, shown when a value breaks it.
    """

    name: str
    section: str
    type: Any
    default: Value | None
    expected: str
    meaning: str

    @cached_property
    def _adapter(self) -> TypeAdapter[Value]:
        return TypeAdapter(self.type)

    def checked(self, raw: object, where: str) -> Value:
        """Return the value of a TOML item; ``ExperimentError`` names ``where`` it stands."""
        return self._validated(tuple(raw) if isinstance(raw, list) else raw, where, strict=True)

    def parsed(self, text: str, where: str) -> Value:
        """Return the value that an option's text spells; layers take an x, as in ``64x64``."""
        if self.name != "hidden":
            return self._validated(text.strip(), where, strict=False)
        layers = () if text.strip() == "linear" else text.strip().split("x")
        return self._validated(tuple(layers), where, strict=False)

    def _validated(self, raw: object, where: str, *, strict: bool) -> Value:
        try:
            return self._adapter.validate_python(raw, strict=strict)
        except ValidationError:
            known = [name for name in getattr(self.type, "__args__", ()) if isinstance(name, str)]
            raise ExperimentError(
                f"`{self.name}` has a value that it cannot take",
                where=where,
                expected=self.expected,
                received=shown(raw),
                remedy=nearest(raw, known) if isinstance(raw, str) else "",
            ) from None


KEYS = {
    key.name: key
    for key in (
        Key(
            "dataset",
            "data",
            Annotated[str, StringConstraints(min_length=1, max_length=1000)],
            "digits",
            "digits, patches, mnist, fashion_mnist or the path of an .npz, .npy or IDX file",
            "name or path of the data",
        ),
        Key(
            "hidden",
            "model",
            Annotated[tuple[Annotated[int, Field(ge=1, le=65536)], ...], Field(max_length=8)],
            (64,),
            "a list of at most 8 layer sizes, such as [64] or [512, 256]; [] is the linear model",
            "hidden layers of the encoder; the decoder mirrors them; [] is the linear model",
        ),
        Key("noise_std", "model", _POSITIVE, 1.0, "a number above 0", "factor on the noise"),
        Key("epochs", "training", _SIZE, 200, "a whole number of at least 1", "training epochs"),
        Key(
            "batch_size",
            "training",
            _SIZE,
            128,
            "a whole number of at least 1",
            "images a step; a last partial batch is dropped",
        ),
        Key(
            "optimizer",
            "training",
            Literal["adam", "adamw", "rmsprop", "sgd"],
            "adam",
            "adam, adamw, rmsprop or sgd",
            "adam, adamw, rmsprop or sgd, as Keras has them",
        ),
        Key("learning_rate", "training", _POSITIVE, 1e-3, "a number above 0", "learning rate"),
        Key(
            "learning_rate_decay",
            "training",
            Annotated[float, Field(gt=0, le=1)],
            1.0,
            "a number above 0 and at most 1",
            "fraction of the learning rate left in the last epoch; it falls exponentially",
        ),
        Key(
            "epsilon",
            "training",
            _POSITIVE,
            1e-7,
            "a number above 0",
            "of adam, adamw and rmsprop",
        ),
        Key(
            "eval_every",
            "training",
            Annotated[int, Field(ge=0, le=1_000_000)],
            0,
            "a whole number of epochs; 0 gives about 50 rows a run",
            "epochs between two rows of the history; 0 gives about 50 rows a run",
        ),
        Key(
            "iwae_samples",
            "training",
            Annotated[int, Field(ge=0, le=100_000)],
            0,
            "a whole number of samples, at most 100000; 0 leaves the bound out",
            "samples of the importance-weighted bound on log p(x); 0 leaves it out",
        ),
        Key(
            "time_limit",
            "training",
            _POSITIVE,
            3600.0,
            "seconds, above 0",
            "seconds that one run may take; a stack of 8 has 8 times as long, full or not",
        ),
        Key(
            "loss",
            "sweep",
            str,
            None,
            "the name of a loss convention",
            "loss conventions",
        ),
        Key(
            "reconstruction_loss",
            "sweep",
            ReconstructionLoss,
            None,
            NAMES,
            "kinds of reconstruction term",
        ),
        Key("beta", "sweep", _WEIGHT, None, "a number of at least 0", "weights on the KL term"),
        Key(
            "beta_eff",
            "sweep",
            _WEIGHT,
            None,
            "a number of at least 0",
            "in place of beta: the same effective weight b/a for every convention",
        ),
        Key("d", "sweep", _SIZE, None, "a whole number of at least 1", "input dimensions"),
        Key("k", "sweep", _SIZE, None, "a whole number of at least 1", "latent dimensions"),
        Key(
            "seeds",
            "sweep",
            Annotated[int, Field(ge=0, lt=2**31)],
            None,
            "a count of at least 1, or a list of whole numbers of at least 0",
            "how many seeds, or which ones",
        ),
    )
}
SECTIONS = ("data", "model", "training", "sweep")
FIXED = tuple(key.name for key in KEYS.values() if key.section != "sweep")
AXES = tuple(key.name for key in KEYS.values() if key.section == "sweep")
DEFAULT_AXES: dict[str, tuple[Value, ...]] = {
    "loss": ("blog", "docs"),
    "reconstruction_loss": ("bce",),
    "beta": (1.0,),
    "k": (2,),
    "seeds": (0, 1, 2),
}
_MOST_SEEDS = 100_000
_LONGEST_SHOWN = 80


def shown(received: object) -> str:
    """Return a received value as an error shows it: on one line, and not for ever."""
    try:
        text = repr(received)
    except ValueError:  # Python prints no number of thousands of digits
        return "a number of thousands of digits"
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


def key_named(name: str, where: str) -> Key:
    """Return the key of that name; ``ExperimentError`` names the nearest one."""
    if name in KEYS:
        return KEYS[name]
    raise ExperimentError(
        f"unknown key `{name}`",
        where=where,
        expected=f"one of {', '.join(KEYS)}",
        received=name,
        remedy=nearest(name, KEYS),
    )


def axis_values(key: Key, items: Sequence[object], where: str, *, text: bool) -> tuple[Value, ...]:
    """Return the distinct values of one axis, in their order; an empty axis is an error."""
    values = tuple(
        dict.fromkeys(
            key.parsed(str(item), where) if text else key.checked(item, where) for item in items
        )
    )
    if not values:
        raise ExperimentError(
            f"`{key.name}` is an empty list, so the grid has no runs",
            where=where,
            expected=f"at least one value: {key.expected}",
            received="[]",
        )
    return values


def seed_count(count: object, where: str, *, text: bool) -> tuple[Value, ...]:
    """Return the seeds 0 to count - 1."""
    key = KEYS["seeds"]
    value = key.parsed(str(count), where) if text else key.checked(count, where)
    if not isinstance(value, int) or not 1 <= value <= _MOST_SEEDS:
        raise ExperimentError(
            "`seeds` is a count that gives no runs or far too many",
            where=where,
            expected=f"{key.expected} (at most {_MOST_SEEDS} seeds)",
            received=shown(count),
        )
    return tuple(range(value))
