"""The table of settings: what makes a run, and all that the program knows of each setting.

``RunSettings`` is the table. Each of its fields says in its ``Setting`` where the key stands in a
file, what it takes and what it means; keys, options, columns, the identity of a run and the shape
of a stack follow from that. A setting is added here, and where it acts.
"""

import functools
import hashlib
import json
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import KW_ONLY, MISSING, dataclass, fields, replace
from math import inf
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin

from lossbench.errors import ExperimentError, UsageError, did_you_mean
from lossbench.loss import (
    CONSTANT,
    SPELLINGS,
    AskedLikelihood,
    Capacity,
    Estimator,
    KLForm,
    Likelihood,
    LossFunction,
    Over,
    Scale,
    Schedule,
    Sigma,
    canonical,
    capacity,
    is_own,
    likelihood,
    schedule,
)
from lossbench.network import (
    OWN_LAYERS,
    Architecture,
    Built,
    Piece,
    conv,
    dense,
    keras_io_conv,
)
from lossbench.optimizer import HAVE_EPSILON, OPTIMIZER_NAMES, OptimizerName
from lossbench.words import joined

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Value = str | int | float | tuple[int, ...]

FORMAT_VERSION = 1
_NO_CAPACITY = "0"
SECTIONS = ("data", "model", "training", "sweep")

_CANONICAL_JSON = json.JSONEncoder(sort_keys=True, separators=(",", ":"))
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9.+-]")
_TO_UNIT = ("auto", "unit", "max")
_LARGEST_SIZE = 1_000_000
_TOO_LARGE = 1e12
_LONGEST_SHOWN = 80
_MOST_FILTERS = 4096


@dataclass(frozen=True)
class Setting:
    """All that the program knows of one setting, beside what its field in ``RunSettings`` says.

    - ``section``: where its key stands in a file; empty if no file says it. In [sweep] the key is
      an axis, and ``axis`` holds the values of a grid without it.
    - ``above``, ``at_least``, ``at_most``: bounds on a number. ``check`` returns the value in its
      canonical form, or raises ``ValueError``. ``rule`` says in words what the type of the field
      and the bounds do not.
    - ``option``, ``metavar``: the words of its option. ``prediction``: `predict` has it, too.
    - ``column``: the meaning of its column in the tables; empty if it has none.
    - ``objective``: R or K is made of it, so objectives that differ in it are different ones,
      whatever their weights. ``yardstick``: ELBOs in nats compare only if runs agree in it.
    - ``identity``: a run with another value is another run.
    - ``enters_as_a_number``: runs that differ in it share a compiled program, as far as the rest
      of ``RunSettings.shape`` agrees.
    - ``name``: the key; that of the field unless it is given.
    - ``field``, ``type``, ``default``: those of the field, as ``SETTINGS`` has them; ``default`` is
      None where the field has none.
    """

    section: Literal["", "data", "model", "training", "sweep"] = ""
    _: KW_ONLY
    axis: tuple[Value, ...] = ()
    above: float = -inf
    at_least: float = -inf
    at_most: float | None = None
    check: Callable[[Any], Value] | None = None
    rule: str = ""
    option: str = ""
    metavar: str | None = None
    prediction: bool = False
    column: str = ""
    objective: bool = False
    yardstick: bool = False
    identity: bool = True
    enters_as_a_number: bool = False
    name: str = ""
    field: str = ""
    type: Any = None
    default: Value | None = None

    @property
    def is_list(self) -> bool:
        """Whether one value is a list of numbers: sizes of layers, with an x as an option."""
        return get_origin(self.type) is tuple

    @property
    def is_mixed(self) -> bool:
        """Whether a value may be a number or a word."""
        return bool(_words(self.type)) and get_origin(self.type) is not Literal

    @property
    def expected(self) -> str:
        """The rule in words, shown when a value breaks it."""
        if self.rule:
            return self.rule
        words = _words(self.type)
        choices = joined(words, "or") if words else ""
        if words and not self.is_mixed:
            return choices
        bounds = [
            f"{side} {bound:g}"
            for side, bound in (("above", self.above), ("of at least", self.at_least))
            if bound != -inf
        ]
        bounds += [] if self.at_most is None else [f"at most {self.at_most:g}"]
        noun = "a whole number" if self.type is int else "a number"
        number = " ".join([noun, *filter(None, [" and ".join(bounds)])])
        return f"{number}, or {choices}" if words else number

    def checked(self, raw: object, where: str) -> Value:
        """Return the value of a TOML item; ``ExperimentError`` names ``where`` it stands."""
        return self._valid(tuple(raw) if isinstance(raw, list) else raw, where, strict=True)

    def parsed(self, text: str, where: str) -> Value:
        """Return the value that an option's text spells; layers take an x, as in ``64x64``."""
        text = text.strip()
        if not self.is_list:
            return self._valid(text, where, strict=False)
        return self._valid(() if text == "linear" else tuple(text.split("x")), where, strict=False)

    def _valid(self, raw: object, where: str, *, strict: bool) -> Value:
        try:
            value = _validated(self.type, raw, strict)
            if isinstance(value, int | float) and not self._is_within(value):
                raise ValueError
            return self.check(value) if self.check else value
        except UsageError as error:
            raise ExperimentError(
                f"`{self.name}`: {error.problem}",
                where=where,
                expected=error.expected,
                received=shown(raw),
                remedy=error.remedy,
            ) from None
        except ValueError:
            raise ExperimentError(
                f"`{self.name}` has a value that it cannot take",
                where=where,
                expected=self.expected,
                received=shown(raw),
                remedy=did_you_mean(raw, _words(self.type)) if isinstance(raw, str) else "",
            ) from None

    def _is_within(self, number: float) -> bool:
        """Tell whether a number keeps its bounds, and those that every number has; NaN does not."""
        largest = _LARGEST_SIZE if isinstance(number, int) else _TOO_LARGE
        at_most = largest if self.at_most is None else self.at_most
        return self.above < number < _TOO_LARGE and self.at_least <= number <= at_most


def _validated(kind: Any, raw: object, strict: bool) -> Value:
    """Return what is read as a value of a type; ``ValueError`` if it is none."""
    value: Value = _adapter(kind).validate_python(raw, strict=strict)
    return value


@functools.cache
def _adapter(kind: Any) -> Any:
    from pydantic import TypeAdapter  # noqa: PLC0415 - help is shown without it

    return TypeAdapter(kind)


def _words(kind: Any) -> list[str]:
    """Return the words that a type has, alone or beside numbers."""
    if get_origin(kind) is Literal:
        return [word for word in get_args(kind) if isinstance(word, str)]
    return [word for part in get_args(kind) for word in _words(part)]


def shown(received: object) -> str:
    """Return a received value as an error shows it: on one line, and not for ever."""
    try:
        text = repr(received)
    except ValueError:  # Python prints no number of thousands of digits
        return "a number of thousands of digits"
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


def _name_or_path(text: str) -> str:
    if not 1 <= len(text) <= 1000:
        raise ValueError
    return text


def _layers(sizes: tuple[int, ...]) -> tuple[int, ...]:
    if len(sizes) > 8 or not all(1 <= size <= 65536 for size in sizes):
        raise ValueError
    return sizes


def _filters(sizes: tuple[int, ...]) -> tuple[int, ...]:
    if not sizes or max(sizes) > _MOST_FILTERS:
        raise ValueError
    return _layers(sizes)


def _schedule(text: str) -> str:
    return str(schedule(text or CONSTANT))


def _capacity(nats: str | float) -> str:
    return str(capacity(nats if isinstance(nats, str) else repr(nats)))


def _network(text: str) -> str:
    if text in OWN_LAYERS or is_own(text):
        return text
    raise UsageError(
        "there is no such network",
        expected=f"{', '.join(OWN_LAYERS)}, or FILE.py:FUNCTION",
        received=text,
        remedy=did_you_mean(text, OWN_LAYERS),
    )


def _groups(text: str) -> str:
    groups = "".join(text.split())
    part = r"([a-z_]+:)?\d+(-\d+)?"
    if re.fullmatch(rf"|{part}([+]{part})*", groups) and len(groups) <= 10_000:
        return groups
    if len(text) > 10_000 or not re.search(r"[^\W\d]", text):  # nothing that names a column
        raise ValueError
    return text


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """The complete settings of one run, defaults spelt out.

    Two runs are the same run exactly if their ``identity`` is. The coefficients ``a`` and
    ``b`` of the trained objective ``a*R + b*K`` and ``beta_eff = b/a`` follow from the loss
    convention and the sizes; ``time_limit`` (seconds) says how long to wait for a run.
    ``definition`` spells out a convention of the experiment's own, and is empty for one of the
    catalogue; ``iwae_samples`` is 0 where no importance-weighted bound is asked for.
    ``kl_schedule`` is always spelt out: an empty text asks for the convention's own schedule, which
    is ``constant`` for all of them, so both are the same run; so are two spellings of one number.
    ``image`` is (height, width) or (height, width, channels) of the data, where the network
    ``sees_images``; it follows from the dataset and d. ``function`` is a loss of the user's own
    that is trained itself: then ``a``, ``b`` and ``beta_eff`` are NaN.
    ``network_definition`` spells out a network of the user's own, as ``definition`` a convention,
    and ``built`` is what it builds, once that is known.
    """

    dataset: Annotated[
        str,
        Setting(
            "data",
            check=_name_or_path,
            rule="the name of a data set, such as digits, patches or mnist, or the path of a file "
            "or folder: `lossbench data --help`",
            option="digits, patches, mnist, fashion_mnist or a path.",
            prediction=True,
            column="name or path of the data",
            objective=True,
            yardstick=True,
        ),
    ] = "digits"
    scale: Annotated[
        Scale,
        Setting(
            "data",
            option="What is done to the numbers: auto, none, unit, standard or max.",
            prediction=True,
            column="what was done to the numbers of the data",
            objective=True,
            yardstick=True,
        ),
    ] = "auto"
    loss: Annotated[
        str,
        Setting(
            "sweep",
            axis=("blog", "docs"),
            rule="the name of a loss convention, or FILE.py:FUNCTION",
            option="Losses, such as blog,docs, or FILE.py:NAME of your own.",
            prediction=True,
            column="loss convention",
            enters_as_a_number=True,
        ),
    ]
    definition: Annotated[str, Setting(enters_as_a_number=True)] = ""
    reconstruction_loss: Annotated[
        AskedLikelihood,
        Setting(
            "sweep",
            axis=("bce",),
            option="Likelihoods, such as bce,mse; own is that of the loss.",
            prediction=True,
            column="kind of reconstruction term, such as bce or mse",
            objective=True,
            yardstick=True,
        ),
    ]
    beta: Annotated[
        float,
        Setting(
            "sweep",
            axis=(1.0,),
            at_least=0,
            option="Weights on the KL term, such as 0.1,1,4.",
            prediction=True,
            column="weight that the user writes on the KL term in that convention",
            enters_as_a_number=True,
        ),
    ]
    beta_eff: Annotated[
        float,
        Setting(
            "sweep",
            at_least=0,
            option="In place of beta: the same b/a for every loss.",
            prediction=True,
            identity=False,
            enters_as_a_number=True,
        ),
    ]
    a: float
    b: float
    d: Annotated[
        int,
        Setting(
            "sweep",
            at_least=1,
            option="Input dimensions.",
            prediction=True,
            column="input dimension (Keras' original_dim)",
            objective=True,
            yardstick=True,
        ),
    ]
    k: Annotated[
        int,
        Setting(
            "sweep",
            axis=(2,),
            at_least=1,
            option="Latent dimensions.",
            prediction=True,
            column="latent dimension",
            objective=True,
        ),
    ]
    seed: Annotated[
        int,
        Setting(
            "sweep",
            name="seeds",
            axis=(0, 1, 2),
            at_least=0,
            at_most=2**31 - 1,
            rule="a count of at least 1, or a list of whole numbers of at least 0",
            option="A count, or the seeds: 0,5,7.",
            column="seed of initial weights, batches and noise",
            enters_as_a_number=True,
        ),
    ]
    hidden: Annotated[
        tuple[int, ...],
        Setting(
            "model",
            check=_layers,
            rule="a list of at most 8 layer sizes, such as [64] or [512, 256]; [] is the linear "
            "model",
            option="Layers of the encoder: 64, 64x64 or linear.",
            prediction=True,
            column="hidden layers of the encoder, mirrored in the decoder",
        ),
    ] = (64,)
    network: Annotated[
        str,
        Setting(
            "model",
            check=_network,
            option="dense, conv, keras-io-conv or FILE.py:FUNCTION.",
            metavar="NAME",
            prediction=True,
            column="network: dense, of convolutions, or a function of one's own",
        ),
    ] = "dense"
    network_definition: Annotated[str, Setting()] = ""
    filters: Annotated[
        tuple[int, ...],
        Setting(
            "model",
            check=_filters,
            rule=f"a list of 1 to 8 numbers of filters, each at most {_MOST_FILTERS}, such as "
            "[32, 64]",
            option="Filters of conv's convolutions: 32x64.",
            prediction=True,
            column="filters of the encoder's convolutions, each of which halves the image",
        ),
    ] = (32, 64)
    kernel_size: Annotated[
        int,
        Setting(
            "model",
            at_least=1,
            at_most=63,
            option="Side of conv's kernels.",
            prediction=True,
            column="side of a convolution's kernel",
        ),
    ] = 3
    output: Annotated[
        Literal["auto", "sigmoid", "identity"],
        Setting(
            "model",
            option="What the decoder ends in: auto, sigmoid or identity.",
            prediction=True,
            column="what the decoder ends in where the likelihood takes any numbers",
            objective=True,
        ),
    ] = "auto"
    noise_std: Annotated[
        float,
        Setting(
            "model",
            above=0,
            option="Factor on the sampling noise.",
            prediction=True,
            column="factor on the sampling noise, 1 as a rule",
            objective=True,
        ),
    ] = 1.0
    sigma: Annotated[
        Sigma,
        Setting(
            "model",
            above=0,
            option="Standard deviation of gaussian, scale of laplace; or learned.",
            metavar="NUMBER|WORD",
            prediction=True,
            column="standard deviation of gaussian, scale of laplace; or how it is learned",
            objective=True,
        ),
    ] = 1.0
    log_sigma_floor: Annotated[
        float,
        Setting(
            "model",
            option="What ln of a learned sigma stays above.",
            prediction=True,
            column="what ln of a learned sigma stays above",
            objective=True,
        ),
    ] = -6.0
    dispersion: Annotated[
        float | Literal["learned"],
        Setting(
            "model",
            above=0,
            option="r of negative_binomial, or learned.",
            metavar="NUMBER|WORD",
            prediction=True,
            column="r of negative_binomial, of variance m + m^2/r; or learned",
            objective=True,
        ),
    ] = 1.0
    groups: Annotated[
        str,
        Setting(
            "model",
            check=_groups,
            rule="the columns of each choice of categorical: a size such as 4, ranges such as "
            "1-3+4-8, or names such as red-blue+small-large; of mixed with its likelihood: "
            "gaussian:1-3+categorical:4-8",
            option="Columns of each choice of categorical, of each part of mixed.",
            prediction=True,
            column="columns of each choice of categorical, of each part of mixed",
            objective=True,
        ),
    ] = ""
    epochs: Annotated[
        int, Setting("training", at_least=1, option="Training epochs.", column="training epochs")
    ] = 200
    batch_size: Annotated[
        int,
        Setting("training", at_least=1, option="Images a step.", column="images a training step"),
    ] = 128
    optimizer: Annotated[
        OptimizerName,
        Setting("training", option=f"{OPTIMIZER_NAMES}.", column=OPTIMIZER_NAMES),
    ] = "adam"
    learning_rate: Annotated[
        float,
        Setting(
            "training", above=0, option="Learning rate.", column="learning rate in the first epoch"
        ),
    ] = 1e-3
    learning_rate_decay: Annotated[
        float,
        Setting(
            "training",
            above=0,
            at_most=1,
            option="Fraction of it left in the last epoch.",
            column="fraction of the learning rate left at the end",
        ),
    ] = 1.0
    epsilon: Annotated[
        float,
        Setting(
            "training",
            above=0,
            option=f"Epsilon of {HAVE_EPSILON}.",
            column=f"epsilon of {HAVE_EPSILON}",
        ),
    ] = 1e-7
    eval_every: Annotated[
        int,
        Setting(
            "training",
            at_least=0,
            rule="a whole number of epochs; 0 gives about 50 rows a run",
            option="Epochs between two rows of the history.",
            column="epochs between two rows of the history",
        ),
    ] = 0
    kl_schedule: Annotated[
        str,
        Setting(
            "training",
            check=_schedule,
            rule=f"{SPELLINGS}; an empty text is the convention's own",
            option="Weight on the KL as it goes: constant, linear:0.5, far:0.5:0.01.",
            metavar="FORM",
            prediction=True,
            column="factor w on b, step by step: how the weight on the KL term goes",
            objective=True,
            enters_as_a_number=True,
        ),
    ] = CONSTANT
    free_bits: Annotated[
        float,
        Setting(
            "training",
            at_least=0,
            option="Floor under the KL in nats; 0 is none.",
            prediction=True,
            column="floor under the KL in nats, 0 for none",
            objective=True,
            enters_as_a_number=True,
        ),
    ] = 0.0
    free_bits_over: Annotated[
        Over,
        Setting(
            "training",
            option="What has the floor: latent, latent_example, total, total_example.",
            metavar="WHAT",
            prediction=True,
            column="what has the floor: a latent or their total, in a batch or in an example",
            objective=True,
            enters_as_a_number=True,
        ),
    ] = "latent"
    capacity: Annotated[
        float | str,
        Setting(
            "training",
            at_least=0,
            check=_capacity,
            rule="nats of at least 0, such as 25, or 25:0.5, which rises to 25 over half of "
            "training; 0 is none",
            option="C in b*|K - C|: 25, or 25:0.5, which rises to it.",
            metavar="NATS",
            prediction=True,
            column="C in b*|K - C| in nats, and how it rises; 0 for none",
            objective=True,
            enters_as_a_number=True,
        ),
    ] = _NO_CAPACITY
    kl_estimator: Annotated[
        Estimator,
        Setting(
            "training",
            option="closed, or sample: log q - log p at one z.",
            prediction=True,
            column="closed form of the KL, or log q - log p at one sample",
            enters_as_a_number=True,
        ),
    ] = "closed"
    iwae_samples: Annotated[
        int,
        Setting(
            "training",
            at_least=0,
            at_most=100_000,
            rule="a whole number of samples, at most 100000; 0 leaves the bound out",
            option="Samples of the importance-weighted bound.",
            metavar="N",
            column="samples of the importance-weighted bound, where asked for",
        ),
    ] = 0
    time_limit: Annotated[
        float,
        Setting(
            "training",
            above=0,
            rule="seconds, above 0",
            option="Seconds a run; a stack of w has w times that.",
            identity=False,
        ),
    ] = 3600.0
    image: tuple[int, ...] = ()
    function: LossFunction | None = None
    built: Built | None = None

    @property
    def architecture(self) -> Architecture:
        """The network that is trained; its description follows from the settings."""
        kind = self.likelihood
        output = self.values_output if kind.output == "values" else kind.output
        pieces = tuple(
            Piece(self.values_output if part.output == "values" else part.output, size)
            for part, size in kind.parts(self.d)
        )
        ends = (output, kind.choices(self.d), pieces)
        logarithm = kind.encodes_logarithm
        match self.network:
            case "dense":
                return dense(self.d, self.k, self.hidden, *ends, encodes_logarithm=logarithm)
            case "conv":
                layers = (self.filters, self.kernel_size, self.hidden)
                return conv(self.image, self.k, *layers, *ends, encodes_logarithm=logarithm)
            case "keras-io-conv":
                return keras_io_conv(self.image, self.k, *ends, encodes_logarithm=logarithm)
        if self.built is None:
            raise ValueError(f"what {self.network} builds is not known yet")
        output, groups, pieces = ends
        return replace(
            *(self.built,),
            output=output,
            groups=groups,
            pieces=pieces,
            encodes_logarithm=logarithm,
        )

    @property
    def sees_images(self) -> bool:
        """Whether the network needs to know the ``image`` that the d inputs are."""
        return self.network != "dense"

    @property
    def values_output(self) -> Literal["sigmoid", "linear"]:
        """What the decoder of a likelihood of any numbers ends in.

        ``auto`` is a sigmoid where there is a hidden layer, and the scale is one that takes the
        data to [0, 1].
        """
        if self.output == "auto":
            is_unit = self.likelihood.scale(self.scale) in _TO_UNIT
            bends = bool(self.hidden) or self.sees_images
            return "sigmoid" if bends and is_unit else "linear"
        return "sigmoid" if self.output == "sigmoid" else "linear"

    @property
    def data(self) -> tuple[str, int, Scale]:
        """The dataset, at which d, and what is done to its numbers."""
        return self.dataset, self.d, self.likelihood.scale(self.scale)

    @property
    def likelihood(self) -> Likelihood:
        """The likelihood that is trained, with the run's parameters."""
        return likelihood(self.reconstruction_loss).of(self)

    def identity(self) -> dict[str, object]:
        """Return what makes the run this run, in canonical form."""
        return _identity_of(_all_but_seed(self)) | {"seed": self.seed}

    @property
    def setting(self) -> tuple[object, ...]:
        """What runs that differ in their seed share, and no others."""
        values: tuple[object, ...] = _all_but_seed(self)
        return values

    @property
    def shape(self) -> tuple[object, ...]:
        """What runs that one compiled program may train side by side share.

        Whether a schedule runs is part of it, its form and its numbers are not; of the KL term it
        is the form. A function that is trained itself shares its program with its own seeds alone.
        """
        return (*_shape(self), self.is_scheduled, self.kl_form, self.function, self.built)

    @property
    def kl_form(self) -> KLForm:
        """The form of the KL term."""
        has_capacity = self.capacity != _NO_CAPACITY
        floor = self.free_bits_over if self.free_bits else ""
        return KLForm("capacity" if has_capacity else floor, self.kl_estimator)

    @property
    def is_bounded(self) -> bool:
        """Whether the KL term has a floor or a capacity."""
        return self.kl_form.is_bounded

    def bounds(
        self, steps: "NDArray[np.int64]", n_steps: int, steps_an_epoch: int
    ) -> "NDArray[np.floating[Any]]":
        """Return the floor or the capacity at these steps of ``n_steps``: 0 where there is none."""
        return self._bound.at(steps, n_steps, steps_an_epoch)

    @property
    def _bound(self) -> Capacity:
        return Capacity(self.free_bits) if self.free_bits else capacity(str(self.capacity))

    @property
    def is_scheduled(self) -> bool:
        """Whether the weight on K changes on the way."""
        return self.kl_schedule != CONSTANT

    @property
    def schedule(self) -> Schedule:
        """The factor w on the weight of K."""
        return schedule(self.kl_schedule)

    def steps(self, n_images: int) -> tuple[int, int]:
        """Return the steps of training on ``n_images``, and how many an epoch has."""
        steps_an_epoch = max(1, n_images // self.batch_size)
        return self.epochs * steps_an_epoch, steps_an_epoch

    def final_beta_eff(self, n_images: int) -> float:
        """Return ``beta_eff`` * w at the last step: what is held against the threshold."""
        return canonical(self.beta_eff * self.schedule.last_weight(*self.steps(n_images)))

    def last_bound(self, n_images: int) -> float:
        """Return the floor or the capacity at the last step, in nats."""
        n_steps, steps_an_epoch = self.steps(n_images)
        return self._bound.last(n_steps, steps_an_epoch)

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


def _table() -> Iterator[Setting]:
    """Yield the settings of a run, each with the name, type and default of its field."""
    for field in fields(RunSettings):
        kind, *notes = get_args(field.type) if get_origin(field.type) is Annotated else (None,)
        for setting in notes:
            default = None if field.default is MISSING else field.default
            name = setting.name or field.name
            yield replace(setting, name=name, field=field.name, type=kind, default=default)


SETTINGS = tuple(_table())
KEYS: Mapping[str, Setting] = {
    each.name: each for section in SECTIONS for each in SETTINGS if each.section == section
}  # in the order of a file
FIXED = {name: key.default for name, key in KEYS.items() if key.default is not None}
AXES = {name: key.axis for name, key in KEYS.items() if key.section == "sweep"}

# The settings of the first format, which every identity spells out. A later one stands in it where
# it has not its default, and not in this list: so the ids of older runs hold.
_SPELT_OUT = (
    "dataset loss reconstruction_loss beta d k seed hidden noise_std epochs batch_size optimizer "
    "learning_rate learning_rate_decay epsilon eval_every"
)
_ALL_BUT_SEED = tuple(each.field for each in SETTINGS if each.identity and each.field != "seed")
_OMITTED = {each.field: each.default for each in SETTINGS if each.field not in _SPELT_OUT.split()}
_all_but_seed = operator.attrgetter(*_ALL_BUT_SEED)
_shape = operator.attrgetter(*(each.field for each in SETTINGS if not each.enters_as_a_number))
_MIXED = tuple(each.field for each in SETTINGS if each.is_mixed)
_PLACED = (*_ALL_BUT_SEED, "seed", "time_limit")
_unmixed = operator.attrgetter(*(name for name in _PLACED if name not in _MIXED))


def _identity_of(values: Iterable[object]) -> dict[str, object]:
    """Return what makes a run this run, but for its seed; lists as JSON has them."""
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in zip(_ALL_BUT_SEED, values, strict=True)
        if _OMITTED.get(name) != value
    }


@functools.lru_cache(maxsize=1, typed=True)
def _around_seed(*values: object) -> tuple[str, str]:
    """Return the text of an identity up to its seed and after it, which all seeds share."""
    text = _CANONICAL_JSON.encode(
        {"format": FORMAT_VERSION} | _identity_of(values) | {"seed": 0}
    )  # within a name its quotes would be escaped
    before, mark, after = text.partition('"seed":0')
    return before + mark.removesuffix("0"), after


def place(run: RunSettings) -> tuple[object, ...]:
    """Return by what runs are put in order: their settings in the order of the table."""
    return _unmixed(run), *(ranked(getattr(run, name)) for name in _MIXED)


def ranked(value: Value) -> tuple[bool, Value]:
    """Return by what the values of one setting are put in order: numbers before words."""
    return isinstance(value, str), value


def key_named(name: str, where: str) -> Setting:
    """Return the setting with that key; ``ExperimentError`` names the nearest one."""
    if name in KEYS:
        return KEYS[name]
    raise ExperimentError(
        f"unknown key `{name}`",
        where=where,
        expected=f"one of {', '.join(KEYS)}",
        received=name,
        remedy=did_you_mean(name, KEYS),
    )
