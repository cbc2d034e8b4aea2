"""Every column that users see: name, type, unit and meaning; the version of the format."""

from dataclasses import dataclass
from typing import Literal

FORMAT_VERSION = 1

Status = Literal["ok", "nan", "crashed", "timeout"]
Kind = Literal["text", "int", "float", "bool"]


@dataclass(frozen=True)
class Column:
    """One column of a table; ``unit`` is empty where the number has none."""

    name: str
    kind: Kind
    meaning: str
    unit: str = ""


_IDENTITY = (
    Column("run_id", "text", "readable slug and ten hex digits of the settings' hash"),
    Column("dataset", "text", "name or path of the data"),
    Column("loss", "text", "loss convention"),
    Column("reconstruction_loss", "text", "kind of reconstruction term, bce or mse"),
    Column("beta", "float", "weight that the user writes on the KL term in that convention"),
    Column("d", "int", "input dimension (Keras' original_dim)"),
    Column("k", "int", "latent dimension"),
    Column("seed", "int", "seed of initial weights, batches and noise"),
)
_DERIVED = (
    Column("a", "float", "coefficient of the summed reconstruction in the trained objective"),
    Column("b", "float", "coefficient of the summed KL in the trained objective"),
    Column("beta_eff", "float", "b / a: decides the optimum"),
    Column("threshold", "float", "beta_eff at and above which the collapsed solution is stable"),
    Column("predicted_active_units", "int", "active units that theory predicts"),
    Column("implied_sigma", "float", "decoder noise that the objective implies, mse only"),
)
_SETTINGS = (
    Column("hidden", "text", "hidden layers of the encoder, mirrored in the decoder"),
    Column("epochs", "int", "training epochs"),
    Column("batch_size", "int", "images a training step"),
    Column("optimizer", "text", "adam, adamw, rmsprop or sgd"),
    Column("learning_rate", "float", "learning rate in the first epoch"),
    Column("noise_std", "float", "factor on the sampling noise, 1 as a rule"),
)
_STATUS = (Column("status", "text", "ok, nan, crashed or timeout"),)
_TRAINED_METRICS = (
    Column("elbo", "float", "evidence lower bound on the test split", "nats"),
    Column("reconstruction", "float", "reconstruction term summed over the inputs", "nats"),
    Column("kl", "float", "KL to the prior summed over the latents", "nats"),
    Column("bits_per_dim", "float", "negative ELBO per input", "bits"),
    Column("elbo_best_sigma", "float", "ELBO under the best decoder variance", "nats"),
    Column("active_units", "int", "latents whose mean carries a signal above its noise"),
    Column("collapsed", "bool", "true if no latent is active"),
    Column("objective", "float", "the trained number; not comparable between conventions"),
    Column("train_elbo", "float", "ELBO on the training split", "nats"),
    Column("train_reconstruction", "float", "reconstruction term on the training split", "nats"),
    Column("train_kl", "float", "KL on the training split", "nats"),
)
_IWAE = Column("iwae", "float", "importance-weighted bound on log p(x), where asked for", "nats")
METRICS = (*_TRAINED_METRICS, _IWAE)
_FURTHER_SETTINGS = (
    Column("learning_rate_decay", "float", "fraction of the learning rate left at the end"),
    Column("epsilon", "float", "epsilon of adam, adamw and rmsprop"),
    Column("eval_every", "int", "epochs between two rows of the history"),
    Column("iwae_samples", "int", "samples of the importance-weighted bound, where asked for"),
)

RUNS = _IDENTITY + _DERIVED + _SETTINGS + _STATUS + _TRAINED_METRICS + _FURTHER_SETTINGS + (_IWAE,)
HISTORY = (
    Column("run_id", "text", "run that the row belongs to"),
    Column("epoch", "int", "epochs trained so far"),
    Column("elbo", "float", "ELBO on the test split", "nats"),
    Column("reconstruction", "float", "reconstruction term on the test split", "nats"),
    Column("kl", "float", "KL on the test split", "nats"),
    Column("active_units", "int", "latents whose mean carries a signal above its noise"),
    Column("objective", "float", "the trained number on the test split"),
)
TIMINGS = (
    Column("run_id", "text", "run that the row belongs to"),
    Column("wall_seconds", "float", "time of the run's stack divided by its members", "s"),
    Column("stack_members", "int", "runs that were trained together"),
    Column("host", "text", "machine that trained the run"),
    Column("worker", "text", "process that trained the run"),
)
_SETTINGS_OF_A_ROW = tuple(
    column
    for column in _IDENTITY[1:] + _DERIVED + _SETTINGS + _FURTHER_SETTINGS
    if column.name != "seed"
)
SUMMARY = (
    *_SETTINGS_OF_A_ROW,
    Column("n_seeds", "int", "runs that ended well, of which the metrics are means"),
    *(
        Column(f"{metric.name}{suffix}", "float", f"{what}{metric.meaning}", metric.unit)
        for metric in METRICS
        for suffix, what in (("", "mean over seeds: "), ("_ci95", "half width of the mean's: "))
    ),
    Column("still_improving", "bool", "the ELBO rose by over 0.1 nats in the last tenth"),
)
SETTING_COLUMNS = tuple(
    column.name for column in _IDENTITY[1:] + _SETTINGS + _FURTHER_SETTINGS if column.name != "seed"
)
DERIVED_COLUMNS = tuple(column.name for column in _DERIVED)
METRIC_COLUMNS = tuple(column.name for column in METRICS)
HISTORY_COLUMNS = tuple(column.name for column in HISTORY[1:])
