"""The door for Python: each function reads what it is asked, calls one room, returns its record.

Nothing is printed, and no signal handler is set; errors are those of ``lossbench.errors``. A room
loads when its function is called.
"""

# ruff: noqa: PLC0415
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, overload

from lossbench.errors import LossbenchError, UsageError
from lossbench.loss import ReconstructionLoss, Sizes, likelihood
from lossbench.words import setting

if TYPE_CHECKING:
    from lossbench.auditing import Audit
    from lossbench.comparison import Comparison
    from lossbench.experiment import Experiment
    from lossbench.explanation import Derivation, Equivalent
    from lossbench.prediction import Prediction
    from lossbench.store import Summary
    from lossbench.sweeping import Event, Swept

Scalar = str | float | bool
Given = Scalar | Sequence[Scalar | tuple[int, ...]]


@contextmanager
def _arguments_named() -> Iterator[None]:
    """Name an argument as Python has it where an error names the command's option."""
    try:
        yield
    except LossbenchError as error:
        if not error.where.startswith("--"):
            raise
        raise type(error)(
            error.problem,
            where=error.where[2:].replace("-", "_"),
            expected=error.expected,
            received=error.received,
            remedy=error.remedy,
        ) from None


@_arguments_named()
def audit(
    target: str | Callable[..., object],
    *,
    d: int | None = None,
    k: int | None = None,
    batch_size: int = 128,
    n_images: int = 60_000,
    shape: str | None = None,
    latent_shape: str | None = None,
    args: Sequence[str] = (),
    settings: Sequence[str] = (),
    total: str | None = None,
    time_limit: float = 60.0,
    dataset: str | None = None,
    threshold: float | None = None,
    data_dir: str | Path | None = None,
) -> "Audit":
    """Return what a loss trains; ``AuditError`` says why that cannot be told.

    ``"FILE.py:NAME"`` is asked in a child process, a callable in this one: ``process`` tells.
    The options are those of the command, in the same words: ``args=["x_hat=decoded"]``,
    ``settings=["beta=4"]``; ``dataset`` or ``threshold`` (t_1) adds whether it collapses there.

    >>> def vae_loss(x, x_hat, z_mean, z_log_var):
    ...     kl = -0.5 * (1 + z_log_var - z_mean**2 - np.exp(z_log_var)).mean(axis=1)
    ...     return (((x - x_hat) ** 2).mean(axis=1) + kl).mean()
    >>> import numpy as np
    >>> found = audit(vae_loss, d=64, k=2)
    >>> round(found.beta_eff, 6), found.beta_eff.formula
    (32.0, 'd/k')
    """
    from lossbench import auditing

    if not (isinstance(target, str) or callable(target)):
        raise UsageError(
            "this is no loss",
            where="target",
            expected='a function, or "FILE.py:NAME"',
            received=repr(target),
        )
    sizes = {"d": d, "k": k, "batch_size": batch_size, "n_images": n_images}
    _check_numbers(Integral, **sizes)
    _check_numbers(Real, time_limit=time_limit, threshold=threshold)
    for size, value in sizes.items():
        if value is not None and value < 1:
            raise UsageError(
                "a size has a value that it cannot take",
                where=size,
                expected="a whole number of at least 1",
                received=repr(value),
            )
    if not isinstance(target, str) and (d is None or k is None):
        raise UsageError(
            "what a loss trains depends on its sizes",
            expected="d=, the inputs of an image, and k=, its latents",
            received=f"d={d}, k={k}",
        )
    name = target if isinstance(target, str) else getattr(target, "__name__", "loss")
    where = (
        auditing.read_target(target)
        if isinstance(target, str)
        else auditing.Target(Path(name), name)
    )
    asked = auditing.read_options(
        *(where, d, k, batch_size, n_images, shape, latent_shape),
        *(args, settings, total, time_limit),
    )
    found = (
        auditing.audit(where, asked)
        if isinstance(target, str)
        else auditing.audit_here(target, where, asked)
    )
    return auditing.predicted(found, dataset, threshold, _path(data_dir))


@overload
def explain(
    loss: str,
    *,
    d: int = ...,
    k: int = ...,
    batch_size: int = ...,
    n_images: int = ...,
    beta: float | Fraction = ...,
    reconstruction_loss: ReconstructionLoss | None = ...,
) -> "Derivation": ...
@overload
def explain(
    loss: str,
    to: str,
    *,
    d: int = ...,
    k: int = ...,
    batch_size: int = ...,
    n_images: int = ...,
    beta: float | Fraction = ...,
) -> "Equivalent": ...
@_arguments_named()
def explain(
    loss: str,
    to: str | None = None,
    *,
    d: int = 784,
    k: int = 2,
    batch_size: int = 128,
    n_images: int = 60_000,
    beta: float | Fraction = 1,
    reconstruction_loss: ReconstructionLoss | None = None,
) -> "Derivation | Equivalent":
    """Return the derivation of a loss at given sizes: its a, b and beta_eff, and what it means.

    With ``to``, return the equal setting in that loss.

    >>> float(explain("blog", d=784, k=2).listed.beta_eff)
    392.0
    >>> float(explain("blog", "docs", d=784, k=2).other_beta)
    392.0
    """
    from lossbench import explanation

    _check_numbers(Integral, d=d, k=k, batch_size=batch_size, n_images=n_images)
    _check_numbers(Real, beta=beta)
    _check_text(loss=loss, to=to, reconstruction_loss=reconstruction_loss)
    if reconstruction_loss is not None:
        likelihood(reconstruction_loss)
    weight = explanation.read_weight(beta if isinstance(beta, Fraction) else float(beta))
    sizes = explanation.checked(Sizes(d, k, batch_size, n_images))
    if to is not None:
        return explanation.equivalent(loss, weight, to, sizes)
    return explanation.derivation(loss, sizes, weight, reconstruction_loss)


@_arguments_named()
def predict(
    file: str | Path | None = None, *, data_dir: str | Path | None = None, **settings: Given
) -> "Prediction":
    """Return what theory says of every setting of an experiment, before any training.

    ``file`` is a TOML file, by default the seed question on digits; ``settings`` are its keys, a
    sequence for several values (a tuple for ``hidden`` or ``filters`` is one network, a list of
    them several).
    them several).

    >>> [each.collapses for each in predict(loss="docs", d=64, k=2, beta=[1, 100]).settings]
    [False, True, False, True]
    """
    from lossbench import prediction

    return prediction.predict(_read(file, settings), _path(data_dir))


@_arguments_named()
def sweep(
    file: str | Path | None = None,
    *,
    out: str | Path | None = None,
    data_dir: str | Path | None = None,
    workers: int | None = None,
    scheduler: str = "",
    retry_failed: bool = False,
    save_weights: bool = False,
    progress: Callable[[int, int], None] | None = None,
    **settings: Given,
) -> "Swept":
    """Train what is missing of a grid, and tabulate all; failed runs are in ``failed``.

    ``file`` and ``settings`` are those of ``predict``; the results go to ``out``, by default
    ``results/NAME``. ``progress`` is called with the runs finished and all that are to be
    trained, at the start and after each. Whatever it raises, and Ctrl-C, ends the sweep, leaves
    no workers, keeps what is finished and is raised here; the same call goes on from there.
    """
    from lossbench import sweeping
    from lossbench.run import Record

    _check_numbers(Integral, workers=workers)
    if workers is not None and workers < 1:
        raise UsageError(
            "somebody has to train",
            where="workers",
            expected="at least 1",
            received=str(workers),
        )
    asked = _read(file, settings)
    plan = sweeping.plan(
        asked,
        _path(out) or Path("results") / asked.name,
        _path(data_dir),
        retry_failed=retry_failed,
        save_weights=save_weights,
    )
    n_finished, n_all = 0, 0

    def told(event: "Event") -> None:
        nonlocal n_finished, n_all
        if isinstance(event, sweeping.Begun):
            n_all = len(event.missing)
        n_finished += isinstance(event, Record)
        if progress and isinstance(event, sweeping.Begun | Record):
            progress(n_finished, n_all)

    return sweeping.sweep(plan, n_workers=workers, scheduler=scheduler, progress=told)


def compare(a: str | Path, b: str | Path) -> "Comparison":
    """Return two runs, or two selections of runs, compared: every difference is B minus A.

    A selection is written as for the command, by default in the folders under ``results``.

    >>> at = "beta=1,d=64,k=2,reconstruction_loss=bce"
    >>> found = compare(f"results/digits:loss=docs,{at}", f"results/digits:loss=blog,{at}")
    >>> found.cells[0].metrics["active_units"].difference
    -2.0
    """
    from lossbench import comparison

    sides = comparison.select(str(a)), comparison.select(str(b))
    found = comparison.compare(*sides)
    return replace(found, curves=comparison.elbo_curves(found, *sides))


def show(results: str | Path) -> "Summary":
    """Return the summary of a results folder, a row a setting.

    >>> show("results/digits").to_frame()["loss"].unique().tolist()
    ['blog', 'docs']
    """
    from lossbench import store

    if not isinstance(results, str | Path):
        raise UsageError(
            "this is no results folder",
            where="results",
            expected="a path",
            received=repr(results),
        )
    return store.summary(Path(results))


def _path(path: str | Path | None) -> Path | None:
    return None if path is None else Path(path)


def _read(file: str | Path | None, settings: dict[str, Given]) -> "Experiment":
    from lossbench import experiment

    texts = {name: _text(name, given) for name, given in settings.items()}
    return experiment.read(_path(file), texts)


def _text(name: str, given: object) -> str:
    """Return the text of an option: of one value, or of several with commas."""
    is_network = name in ("hidden", "filters") and isinstance(given, tuple)
    if isinstance(given, Iterable) and not isinstance(given, str) and not is_network:
        return ",".join(_text(name, each) for each in given)
    return setting(given) if isinstance(given, bool | tuple) else str(given)


def _check_text(**values: object) -> None:
    """Refuse what is no text, and no None where that stands for nothing."""
    for name, value in values.items():
        optional = value is None and name != "loss"
        if not (optional or isinstance(value, str)):
            raise UsageError(
                f"`{name}` is no text", where=name, expected="a name", received=repr(value)
            )


def _check_numbers(kind: type, **values: object) -> None:
    """Refuse what is neither None nor a number of this kind."""
    for name, value in values.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, kind)):
            raise UsageError(
                f"`{name}` is no {'whole ' if kind is Integral else ''}number",
                where=name,
                expected="a whole number" if kind is Integral else "a number",
                received=repr(value),
            )
