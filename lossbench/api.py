"""The door for Python: each function reads what it is asked, calls one room, returns its record.

Nothing is printed, and no signal handler is set; errors are those of ``lossbench.errors``. A room
loads when its function is called.
"""

# ruff: noqa: PLC0415
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, overload

from lossbench.errors import LossbenchError, UsageError
from lossbench.loss import Entry, ReconstructionLoss, Sizes, is_own, likelihood
from lossbench.words import setting

if TYPE_CHECKING:
    from lossbench.auditing import Audit
    from lossbench.comparison import Comparison
    from lossbench.experiment import Experiment
    from lossbench.explanation import Derivation, Equivalent
    from lossbench.prediction import Prediction
    from lossbench.recommendation import Recommendation
    from lossbench.store import Summary
    from lossbench.sweeping import Event, Swept

Scalar = str | float | bool
Given = Scalar | Sequence[Scalar | tuple[int, ...]]

# How errors write options, for `as_python`.
_COMMAND = re.compile(r"lossbench (?P<name>audit) (?P<of>\S+)(?P<options>(?: --[a-z-]+ \S+)*)")
_PAIRS = re.compile(r"--(args|set) [\w.]+=[^\s;,]+(?: --\1 [\w.]+=[^\s;,]+)*")
_OPTIONS = re.compile(
    r"(?<![\w-])--(?P<name>[a-z][a-z-]+|[dk]\b)"
    r"(?: (?P<value>'[^']*'|\d[\d.,]*\d|\d|(?<=--out )\S+))?"
)
_NO_OPTIONS = re.compile(r"no --[dk]\b")
_BARE = re.compile(r"\d+(\.\d+)?|'[^']*'")


@contextmanager
def _arguments_named() -> Iterator[None]:
    """Name arguments as Python has them where an error names the command's options."""
    try:
        yield
    except LossbenchError as error:
        raise type(error)(
            as_python(error.problem),
            where=as_python(error.where),
            expected=as_python(error.expected),
            received=_NO_OPTIONS.sub(lambda no: as_python(no[0]), error.received),
            remedy=as_python(error.remedy),
        ) from None


def as_python(advice: str) -> str:
    """Return advice with the arguments of Python in place of the command's options.

    >>> as_python("--d 784; --args x_hat=decoded; --set a=1 --set b=B/N; a longer --time-limit")
    'd=784; args={"x_hat": "decoded"}; settings={"a": 1, "b": "B/N"}; a longer time_limit'
    >>> as_python("lossbench audit my_vae.py:vae_loss --d 784 --shape 28,28,1")
    'lossbench.audit("my_vae.py:vae_loss", d=784, shape="28,28,1")'
    """
    if command := _COMMAND.fullmatch(advice):
        options = as_python(command["options"].strip()).split()
        given = ", ".join((_quoted(command["of"]), *options))
        return f"lossbench.{command['name']}({given})"
    return _OPTIONS.sub(_argument, _PAIRS.sub(_pairs, advice))


def _pairs(found: re.Match[str]) -> str:
    """Return options of pairs as one dictionary."""
    given = [text.partition("=") for text in found[0].split()[1::2]]
    inside = ", ".join(f"{_quoted(name)}: {_quoted(value)}" for name, _, value in given)
    return f"{'settings' if found[1] == 'set' else 'args'}={{{inside}}}"


def _argument(found: re.Match[str]) -> str:
    name = {"set": "settings"}.get(found["name"], found["name"].replace("-", "_"))
    return name if found["value"] is None else f"{name}={_quoted(found['value'])}"


def _quoted(text: str) -> str:
    """Return a text as Python has it; a number, and what is in quotes already, as it is."""
    return text if _BARE.fullmatch(text) else f'"{text}"'


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
    args: Mapping[str, str] | Sequence[str] = (),
    settings: Mapping[str, object] | Sequence[str] = (),
    total: str | None = None,
    time_limit: float = 60.0,
    dataset: str | None = None,
    threshold: float | None = None,
    data_dir: str | Path | None = None,
) -> "Audit":
    """Return what a loss trains; ``AuditError`` says why that cannot be told.

    ``"FILE.py:NAME"`` is asked in a child process, a callable in this one: ``process`` tells.
    The options are those of the command: ``args={"x_hat": "decoded"}`` names an argument by its
    role, ``settings={"beta": 4}`` gives one its value, a text being a formula in d, k, B and N or a
    name of the file; lists such as ``["beta=4"]`` are taken too. ``dataset`` or ``threshold`` (t_1)
    adds whether it collapses there.

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
        *(_pairs_of("args", args), _pairs_of("settings", settings), total, time_limit),
    )
    found = (
        auditing.audit(where, asked)
        if isinstance(target, str)
        else auditing.audit_here(target, where, asked)
    )
    found = replace(
        found,
        filled=tuple(map(as_python, found.filled)),
        findings=tuple(replace(each, text=as_python(each.text)) for each in found.findings),
    )
    return auditing.predicted(found, dataset, threshold, _path(data_dir))


@overload
def explain(
    loss: str,
    *,
    d: int | None = ...,
    k: int = ...,
    batch_size: int = ...,
    n_images: int | None = ...,
    beta: float | Fraction = ...,
    reconstruction_loss: ReconstructionLoss | None = ...,
    dataset: str | None = ...,
    data_dir: str | Path | None = ...,
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
    reconstruction_loss: ReconstructionLoss | None = ...,
    sigma: float | None = ...,
    data_range: tuple[float, float] | None = ...,
    to_data_range: tuple[float, float] | None = ...,
) -> "Equivalent": ...
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
    sigma: float | None = ...,
    data_range: tuple[float, float] | None = ...,
    to_data_range: tuple[float, float],
) -> "Equivalent": ...
@_arguments_named()
def explain(
    loss: str,
    to: str | None = None,
    *,
    d: int | None = None,
    k: int = 2,
    batch_size: int = 128,
    n_images: int | None = None,
    beta: float | Fraction = 1,
    reconstruction_loss: ReconstructionLoss | None = None,
    sigma: float | None = None,
    data_range: tuple[float, float] | None = None,
    to_data_range: tuple[float, float] | None = None,
    dataset: str | None = None,
    data_dir: str | Path | None = None,
) -> "Derivation | Equivalent":
    """Return the derivation of a loss at given sizes: its a, b and beta_eff, and what it means.

    With ``to``, return the equal setting in that loss or likelihood; with ``to_data_range``, that
    on data which reach from its first number to its second, not over ``data_range`` (0 to 1).
    ``sigma`` is that of ``gaussian`` or ``laplace``, on the first of the two sides that has one.
    ``dataset`` gives its d and number of training images, in place of MNIST's 784 and 60,000, and
    adds what the loss is there where nothing is learned.

    >>> float(explain("blog", d=784, k=2).listed.beta_eff)
    392.0
    >>> float(explain("blog", "docs", d=784, k=2).other_beta)
    392.0
    >>> float(explain("docs", "gaussian", sigma=0.5).other_beta)
    2.0
    """
    from lossbench import explanation

    _check_numbers(Integral, d=d, k=k, batch_size=batch_size, n_images=n_images)
    _check_numbers(Real, beta=beta, sigma=sigma)
    _check_text(loss=loss, to=to, reconstruction_loss=reconstruction_loss)
    _check_ranges(data_range=data_range, to_data_range=to_data_range)
    if reconstruction_loss is not None:
        likelihood(reconstruction_loss)
    weight = explanation.read_weight(beta if isinstance(beta, Fraction) else float(beta))
    asked = explanation.checked(Sizes(d, k, batch_size, n_images))
    of_data = Sizes() if dataset is None else explanation.sizes_of(dataset, _path(data_dir))
    sizes = explanation.completed(asked, of_data, explanation.DEFAULT_SIZES)
    found: str | Entry = loss
    if is_own(loss):
        from lossbench import proving

        found = proving.entry(loss, sizes)
    if to is not None or to_data_range is not None:
        return explanation.equivalent(
            *(found, weight, to, sizes),
            reconstruction_loss=reconstruction_loss,
            sigma=sigma,
            data_range=data_range,
            to_data_range=to_data_range,
        )
    for name, given in {"sigma": sigma, "data_range": data_range}.items():
        if given is not None:
            raise UsageError(
                f"`{name}` is for an equal setting elsewhere",
                where=name,
                expected="to or to_data_range beside it",
                received=repr(given),
            )
    return explanation.derivation(
        *(found, sizes, weight, reconstruction_loss, dataset, _path(data_dir))
    )


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

    asked = _read(file, settings)
    if asked.has_own_files:
        from lossbench import proving

        asked = proving.proved(asked, _path(data_dir))
    return prediction.predict(asked, _path(data_dir))


@_arguments_named()
def recommend(
    file: str | Path | None = None,
    *,
    kl: float | None = None,
    rate_bits: float | None = None,
    active: int | None = None,
    no_collapse: bool = False,
    margin: float | None = None,
    confirm: bool = False,
    out: str | Path | None = None,
    data_dir: str | Path | None = None,
    workers: int | None = None,
    **settings: Given,
) -> "Recommendation":
    """Return the weight on the KL that has a goal: a KL, a rate, active latents or no collapse.

    One goal is given. ``file`` and ``settings`` are those of ``sweep`` without a weight; k may be
    ``"auto"``, which is as many latents as have something to carry. ``confirm`` trains short runs
    around the guess, in the results folder ``out``, by default ``results/recommend``.

    >>> found = recommend(kl=3, d=64, k=2, loss=["docs", "keras-io-2020"])
    >>> [round(weight.beta / found.cases[0].beta_eff, 9) for weight in found.cases[0].weights]
    [1.0, 2.0]
    """
    from lossbench import recommendation

    _check_numbers(Real, kl=kl, rate_bits=rate_bits, margin=margin)
    _check_numbers(Integral, active=active)
    _check_workers(workers)
    if out is not None and not confirm:
        raise UsageError("a folder is where --confirm trains", where="--out", expected="--confirm")
    wanted = recommendation.goal(kl, rate_bits, active, no_collapse=no_collapse, margin=margin)
    asked, auto_k = recommendation.read(_path(file), _texts(settings))
    if asked.has_own_files:
        from lossbench import proving

        asked = proving.proved(asked, _path(data_dir))
    found = recommendation.recommend(asked, wanted, auto_k=auto_k, data_dir=_path(data_dir))
    if not confirm:
        return found
    from lossbench import confirmation, sweeping

    return confirmation.confirm(
        *(found, asked, _path(out) or confirmation.FOLDER, _path(data_dir)),
        carry_out=lambda plan: sweeping.sweep(plan, n_workers=workers),
    )


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

    if not (progress is None or callable(progress)):
        raise UsageError(
            "`progress` cannot be called",
            where="progress",
            expected="a function of the runs finished and of all",
            received=repr(progress),
        )
    _check_workers(workers)
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


@_arguments_named()
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


@_arguments_named()
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


def _pairs_of(name: str, given: Mapping[str, object] | Sequence[str]) -> Sequence[str]:
    """Return pairs as the command has them, of a mapping or of such texts."""
    if isinstance(given, Mapping):
        for key, value in given.items():
            plain = value is None or isinstance(value, str | Real | list | tuple)
            if not plain or (isinstance(value, str) and "," in value):
                raise UsageError(
                    f"`{key}` has a value that cannot be handed over",
                    where=name,
                    expected="a number, True, False, None, a list, a formula, a name of the file",
                    received=repr(value),
                )
        return [f"{key}={_item(value)}" for key, value in given.items()]
    texts = [given] if isinstance(given, str) else [*given]
    if not all(isinstance(text, str) for text in texts):
        raise UsageError(
            f"`{name}` takes pairs",
            where=name,
            expected='a dictionary, or a list such as ["beta=4"]',
            received=repr(given),
        )
    return texts


def _item(value: object) -> str:
    if isinstance(value, Real) and not isinstance(value, bool):
        value = int(value) if isinstance(value, Integral) else float(value)
    return str(value)


def _read(file: str | Path | None, settings: dict[str, Given]) -> "Experiment":
    from lossbench import experiment

    return experiment.read(_path(file), _texts(settings))


def _texts(settings: dict[str, Given]) -> dict[str, str]:
    return {name: _text(name, given) for name, given in settings.items()}


def _text(name: str, given: object) -> str:
    """Return the text of an option: of one value, or of several with commas."""
    is_network = name in ("hidden", "filters") and isinstance(given, tuple)
    if isinstance(given, Iterable) and not isinstance(given, str) and not is_network:
        return ",".join(_text(name, each) for each in given)
    return setting(given) if isinstance(given, bool | tuple) else str(given)


def _check_workers(workers: int | None) -> None:
    _check_numbers(Integral, workers=workers)
    if workers is not None and workers < 1:
        raise UsageError(
            "somebody has to train",
            where="workers",
            expected="at least 1",
            received=str(workers),
        )


def _check_text(**values: object) -> None:
    """Refuse what is no text, and no None where that stands for nothing."""
    for name, value in values.items():
        optional = value is None and name != "loss"
        if not (optional or isinstance(value, str)):
            raise UsageError(
                f"`{name}` is no text", where=name, expected="a name", received=repr(value)
            )


def _check_ranges(**values: object) -> None:
    """Refuse what is neither None nor two numbers."""
    for name, value in values.items():
        pair = value if isinstance(value, tuple | list) and len(value) == 2 else (None, None)
        if value is not None and not all(isinstance(edge, Real) for edge in pair):
            raise UsageError(
                f"`{name}` is no range of data",
                where=name,
                expected="two numbers, such as (-1, 1)",
                received=repr(value),
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
