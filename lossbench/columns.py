"""Every column that users see: name, type, unit, decimals, meaning, and when it compares.

A setting's column comes from the table of settings; what follows from the settings and what is
measured stands here.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from lossbench.loss import ELBOS, OWN_SETTINGS, likelihood
from lossbench.settings import SETTINGS
from lossbench.words import counted, setting

if TYPE_CHECKING:
    import pandas as pd

Status = Literal["ok", "nan", "crashed", "timeout"]
Kind = Literal["text", "int", "float", "bool"]
NATS_NEED = tuple(each.field for each in SETTINGS if each.yardstick)
_AT_FLOOR = 1.05  # times the floor, and below: a learned sigma has come to it
_NEARLY_POISSON = 1e4  # a dispersion above it changes no digit that is shown
HELD = "final_beta_eff"  # the weight that is held against the threshold


@dataclass(frozen=True)
class Column:
    """One column of a table; ``unit`` is empty where the number has none.

    ``decimals`` are those of a metric. Its difference between two runs means something only if
    they agree in the settings ``alike``, or for ``one_objective`` if they train the same one. An
    ``optional`` one is shown where a run has it.
    """

    name: str
    kind: Kind
    meaning: str
    unit: str = ""
    decimals: int = 2
    alike: tuple[str, ...] = NATS_NEED
    one_objective: bool = False
    optional: bool = False


_RUN = Column("run_id", "text", "readable slug and ten hex digits of the settings' hash")
_KINDS: dict[type, Kind] = {int: "int", float: "float"}
_SETTINGS = tuple(
    Column(each.field, _KINDS.get(each.type, "text"), each.column)
    for each in SETTINGS
    if each.column
)
_DERIVED = (
    Column("a", "float", "coefficient of the summed reconstruction in the trained objective"),
    Column("b", "float", "coefficient of the summed KL in the trained objective"),
    Column("beta_eff", "float", "b / a: decides the optimum"),
    Column("threshold", "float", "beta_eff at and above which the collapsed solution is stable"),
    Column("predicted_active_units", "int", "active units that theory predicts"),
    Column("implied_sigma", "float", "decoder noise that the objective implies, mse only"),
    Column(HELD, "float", "beta_eff * w at the last step: what is held against the threshold"),
    Column(
        "predicted_kl",
        "float",
        "KL that theory predicts: exact for a linear model of mse or gaussian, else a guess",
        "nats",
    ),
    Column("predicted_sigma", "float", "sigma that theory predicts where it is learned"),
    Column(
        "reconstruction_of_nothing",
        "float",
        "R_0: the reconstruction on the test split when every image gets the mean",
        "nats",
    ),
)
_STATUS = Column("status", "text", "ok, nan, crashed or timeout")
METRICS = (
    Column("elbo", "float", "evidence lower bound on the test split", "nats"),
    Column("reconstruction", "float", "reconstruction term summed over the inputs", "nats"),
    Column("kl", "float", "KL to the prior summed over the latents", "nats", alike=()),
    Column(
        "bits_per_dim",
        "float",
        "negative ELBO per input",
        "bits",
        4,
        ("dataset", "reconstruction_loss"),
    ),
    Column("elbo_best_sigma", "float", "ELBO under the best decoder variance", "nats"),
    Column("active_units", "int", "latents whose mean carries a signal above its noise", alike=()),
    Column("collapsed", "bool", "true if no latent is active", alike=()),
    Column(
        "objective",
        "float",
        "the trained number, a*R + b*w*K at the last step; not comparable between conventions",
        decimals=4,
        one_objective=True,
    ),
    Column("train_elbo", "float", "ELBO on the training split", "nats"),
    Column("train_reconstruction", "float", "reconstruction term on the training split", "nats"),
    Column("train_kl", "float", "KL on the training split", "nats", alike=()),
    Column(
        "iwae",
        "float",
        "importance-weighted bound on log p(x), where asked for",
        "nats",
        alike=(*NATS_NEED, "iwae_samples"),
        optional=True,
    ),
    Column(
        "trained_sigma",
        "float",
        "sigma where it is learned; the root mean square of those of each input",
        decimals=4,
        alike=("dataset", "scale"),
        optional=True,
    ),
    Column(
        "trained_dispersion",
        "float",
        "dispersion r where it is learned",
        decimals=3,
        alike=("dataset",),
        optional=True,
    ),
)
# The metrics of a table that has no room for all, in the order to read them in.
COMPARED = (
    "elbo",
    "iwae",
    "elbo_best_sigma",
    "reconstruction",
    "kl",
    "bits_per_dim",
    "active_units",
    "collapsed",
    "objective",
    "trained_sigma",
    "trained_dispersion",
)
SUMMARISED = ("elbo", "iwae", "kl", "reconstruction", "trained_sigma", "trained_dispersion")
REPORTED = ("elbo", "elbo_best_sigma", "kl", "reconstruction", "bits_per_dim")
_FOLLOWED = ("elbo", "reconstruction", "kl", "active_units", "objective")  # in every epoch

# The header of runs.csv as it came to be; a new column stands behind these, and not in this list.
_HEADER = (
    "run_id,dataset,loss,reconstruction_loss,beta,d,k,seed,a,b,beta_eff,threshold,"
    "predicted_active_units,implied_sigma,hidden,epochs,batch_size,optimizer,learning_rate,"
    "noise_std,status,elbo,reconstruction,kl,bits_per_dim,elbo_best_sigma,active_units,collapsed,"
    "objective,train_elbo,train_reconstruction,train_kl,learning_rate_decay,epsilon,eval_every,"
    "iwae_samples,iwae"
)
_FIRST = tuple(_HEADER.split(","))


_SECOND = ("kl_schedule", HELD)  # behind them, in the order in which they came


def _in_order(columns: Iterable[Column]) -> tuple[Column, ...]:
    place = {name: number for number, name in enumerate((*_FIRST, *_SECOND))}
    return tuple(sorted(columns, key=lambda column: place.get(column.name, len(place))))


RUNS = _in_order((_RUN, *_SETTINGS, *_DERIVED, _STATUS, *METRICS))
HISTORY = (
    _RUN,
    Column("epoch", "int", "epochs trained so far"),
    *(metric for metric in METRICS if metric.name in _FOLLOWED),
    Column("kl_weight", "float", "w at the last step of the epoch, where a schedule runs"),
)
TIMINGS = (
    _RUN,
    Column("wall_seconds", "float", "time of the run's stack divided by its members", "s"),
    Column("stack_members", "int", "runs that were trained together"),
    Column("host", "text", "machine that trained the run"),
    Column("worker", "text", "process that trained the run"),
)
SETTING_COLUMNS = tuple(
    column.name for column in RUNS if column in _SETTINGS and column.name != "seed"
)
# Every setting but those that a figure, a table or its rows are named for.
MODEL_COLUMNS = tuple(
    name
    for name in SETTING_COLUMNS
    if name not in ("dataset", "reconstruction_loss", "d", "k", "loss", "beta")
)
# How the KL term goes: several settings, which a table to read has in one column.
KL_COLUMNS = ("kl_schedule", "free_bits", "free_bits_over", "capacity", "kl_estimator")


def known_of(names: Iterable[str], kinds: Iterable[str]) -> list[str]:
    """Return the metrics of ``names`` that models of one of these likelihoods have."""
    elbos = {name for kind in kinds for name in likelihood(kind).elbos}
    return [name for name in names if name not in ELBOS or name in elbos]


def belongs(name: str, facts: "Mapping[str, Any] | pd.Series") -> bool:
    """Return whether a setting means something beside the others.

    What another likelihood asks for does not, nor does what a floor is over where there is none.
    """
    if name == "free_bits_over":
        return bool(facts.get("free_bits", True))
    own = likelihood(facts["reconstruction_loss"]).own_settings
    return name not in OWN_SETTINGS or name in own


DERIVED_COLUMNS = tuple(column.name for column in _DERIVED)
METRIC_COLUMNS = tuple(column.name for column in METRICS)
HISTORY_COLUMNS = tuple(column.name for column in HISTORY[1:])
_MIXED = tuple(each.field for each in SETTINGS if each.column and each.is_mixed)
# What a run that is too old to have a setting has; a number beside words is a text in a table, as a
# list is.
_LATER = {
    each.field: setting(each.default) if each.is_mixed or each.is_list else each.default
    for each in SETTINGS
    if each.column and each.field not in _FIRST
}


def goes_without_saying(name: str, value: object) -> bool:
    """Return whether a setting came later, and has the default that all older runs have."""
    return name in _LATER and _LATER[name] == value


def worth_saying(names: Iterable[str], facts: "Mapping[str, Any] | pd.Series") -> list[str]:
    """Return which of the settings ``names`` tell a model from others by name.

    All of them, but later ones at their default only if no later one has another value.
    """
    later = {name: goes_without_saying(name, facts[name]) for name in names if name in _LATER}
    return [name for name in names if all(later.values()) or not later.get(name, False)]


def fill(facts: "MutableMapping[str, Any] | pd.DataFrame") -> None:
    """Give the facts of a run, or a table of runs, the columns that it is too old to have."""
    for name, value in {**_LATER, HELD: facts.get("beta_eff")}.items():
        if name not in facts:
            facts[name] = value


def as_texts(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return those settings of a run that a table has as texts, as their user writes them."""
    return {
        name: setting(tuple(value) if isinstance(value, list) else value)
        for name, value in settings.items()
        if isinstance(value, list) or name in _MIXED
    }


def at_the_end(table: "pd.DataFrame") -> "pd.DataFrame":
    """Return settings with ``HELD`` as their beta_eff: so figures and tables to read have them."""
    return table.assign(beta_eff=table[HELD])


def end_note(held: Iterable[float], whole: Iterable[float]) -> str:
    """Return what to say where ``held``, not the ``whole`` beta_eff, is shown as beta_eff.

    >>> end_note([1.0, 3.0], [1.0, 3.0]), end_note([1.0, 0.5], [1.0, 1.0])
    ('', ' beta_eff is that of the last step: a schedule ends at another w than 1.')
    """
    differ = any(abs(last - b_over_a) > 0 for last, b_over_a in zip(held, whole, strict=True))
    return " beta_eff is that of the last step: a schedule ends at another w than 1." * differ


def learned_note(table: "pd.DataFrame") -> str:
    """Return what to say of a table's settings where a learned parameter has a say in them."""
    note = ""
    if (table["sigma"] == "learned_per_input").any():
        note += (
            " With a sigma for each input an active optimum may stand beside the collapsed one "
            "above the threshold."
        )
    floor = table["log_sigma_floor"].astype("float64").map(math.exp)
    n_low = int((table["trained_sigma"] < _AT_FLOOR * floor).sum())
    if n_low:
        note += (
            f" In {counted(n_low, 'row')} sigma came to its floor, so R and the ELBO are those "
            "of log_sigma_floor."
        )
    n_poisson = int((table["trained_dispersion"] > _NEARLY_POISSON).sum())
    if n_poisson:
        note += (
            f" In {counted(n_poisson, 'row')} the dispersion ran away, past {_NEARLY_POISSON:g}: "
            "poisson does as well."
        )
    return note


NO_THRESHOLD = (
    " With a floor or a capacity there is no threshold: the collapsed solution is never an optimum."
)


def bounded(table: "pd.DataFrame") -> "pd.Series":
    """Return which rows of settings have a floor or a capacity."""
    return (table["free_bits"] != 0) | (table["capacity"].astype(str) != _LATER["capacity"])


def kl_term(facts: "Mapping[Any, Any] | pd.Series", *, with_bound: bool = True) -> str:
    """Return how the KL term of a setting goes, in few words; without its nats if so asked.

    >>> plain = dict(kl_schedule="constant", free_bits=0.0, capacity="0", kl_estimator="closed")
    >>> kl_term(plain), kl_term(plain | {"kl_schedule": "linear:0.5"})
    ('constant', 'linear:0.5')
    >>> kl_term(plain | {"capacity": "25:0.5", "kl_estimator": "sample"})
    'sample, capacity 25:0.5'
    """
    words = [
        str(facts[name])
        for name in ("kl_schedule", "kl_estimator")
        if not goes_without_saying(name, facts[name])
    ]
    if facts["free_bits"]:
        bound = f" {setting(facts['free_bits'])}" * with_bound
        words.append(f"free_bits{bound} {facts['free_bits_over']}")
    if not goes_without_saying("capacity", str(facts["capacity"])):
        words.append("capacity" + f" {facts['capacity']}" * with_bound)
    return ", ".join(words) or str(facts["kl_schedule"])


def _of_a_setting(*, first: bool) -> Iterator[Column]:
    names = (*SETTING_COLUMNS, *DERIVED_COLUMNS)
    return (column for column in RUNS if column.name in names and (column.name in _FIRST) == first)


def _over_seeds(*, first: bool) -> Iterator[Column]:
    for metric in METRICS:
        if (metric.name in _FIRST) == first:
            yield Column(metric.name, "float", f"mean over seeds: {metric.meaning}", metric.unit)
            yield Column(f"{metric.name}_ci95", "float", "half width of its interval", metric.unit)


SUMMARY = (
    *_of_a_setting(first=True),
    Column("n_seeds", "int", "runs that ended well, of which the metrics are means"),
    *_over_seeds(first=True),
    Column("still_improving", "bool", "the ELBO rose by over 0.1 nats in the last tenth"),
    *_of_a_setting(first=False),
    *_over_seeds(first=False),
)
