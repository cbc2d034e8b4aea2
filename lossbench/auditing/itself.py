"""A loss that is trained itself, not as ``a*R + b*K``: how it is called in a training step.

Nothing is imported here that the user's file, or who trains it, has not imported already.
"""

import hashlib
import math
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lossbench.auditing.kl_term import KlForm
from lossbench.auditing.probe import Probe, arrays
from lossbench.auditing.proof import unproved
from lossbench.auditing.reconstruction import kind_named
from lossbench.auditing.records import Answer, Failure, Found
from lossbench.auditing.result import Audit
from lossbench.auditing.signature import DISTRIBUTIONS
from lossbench.auditing.total import read_total
from lossbench.errors import LossbenchError
from lossbench.loss import LossFunction, Sizes, Way

if TYPE_CHECKING:  # who only asks a child process needs neither
    from lossbench.auditing.callee import Callee
    from lossbench.auditing.keras_model import ModelCallee

_FRAMEWORKS = ("keras", "tensorflow")
_OF_LOGITS = ("bce_logits", "continuous_bernoulli_logits", "multinomial", "poisson_log")
# What u is where exp(z_log_var) is the variance.
_SPREADS: Mapping[str, Callable[[Any], Any]] = {
    "log_var": lambda u: u,
    "log_std": lambda u: u / 2,
    "std": lambda u: _library("tensorflow").exp(u / 2),
    "var": lambda u: _library("tensorflow").exp(u),
    "log_precision": lambda u: -u,
}
_OF_ROLE = {"z_log_var": "log_var", "z_std": "std", "z_var": "var"}
# Findings of what is another loss at the next call, or has no least value.
_REFUSED = ("state", "trained", "schedule", "maximised", "reconstruction_sign", "kl_sign")
_SAME = 1e-5  # of two calls with the same tensors
_NO_TENSORS = ("model", "config", "rng", *DISTRIBUTIONS)

# x, logits, image, z_mean, z_log_var and z of one batch: x as the data has it, each (batch, ...).
TrainedLoss = Callable[[Any, Any, Any, Any, Any, Any], Any]


def way_of(audit: Audit, found: Found, shape: tuple[int, ...]) -> Way | str:
    """Return how a loss is called in a training step, or why it is not trained itself.

    ``shape`` is that of one image, as it was audited.
    """
    codes = {finding.code: finding.text for finding in audit.findings}
    if refused := [text for code, text in codes.items() if code in _REFUSED]:
        return refused[0]
    roles = found.arguments
    other = next((name for name, role in roles.items() if role in _NO_TENSORS), "")
    if other:
        return f"it takes {other}, a {roles[other]}: what is trained itself takes tensors alone"
    if audit.framework not in _FRAMEWORKS:
        return (
            f"its own gradient cannot be taken, since it is written in {audit.framework}: "
            "in operations of Keras or TensorFlow it would train itself"
        )
    known = audit.kl_form not in (KlForm.UNKNOWN, KlForm.ABSENT)
    by_name = not known or "std_for_log_var" in codes
    spread = _OF_ROLE[found.spread] if by_name else audit.kl_frame
    if spread not in _SPREADS:
        return f"it takes {spread.replace('_', ' ')} of the latents, which no network here gives"
    kind = None if "through" in codes else kind_named(audit.reconstruction)
    name = next((n for n, role in roles.items() if role == "x_hat"), "")
    weight = audit.settings.get("beta")
    return Way(
        Sizes(audit.d, audit.k, audit.batch_size, audit.n_images),
        float(weight) if isinstance(weight, int | float) else None,
        audit.framework,
        audit.total,
        spread,
        kind.name in _OF_LOGITS if kind else "logit" in name.lower(),
        shape,
        words=audit.words or "of no known kind",
        reason=unproved(audit).splitlines()[0],
    )


def trained(asked: "Callee", way: Way) -> TrainedLoss:
    """Return a loss that has been asked before as a function of the tensors of a training step."""
    probe, total = _probe(way), read_total(way.total)
    tf = _library("tensorflow")
    shape = (way.sizes.batch_size, *way.shape)

    def loss(x: Any, logits: Any, image: Any, z_mean: Any, z_log_var: Any, z: Any) -> Any:
        spread = _SPREADS[way.spread](z_log_var)
        tensors = {
            "x": tf.reshape(x, shape),
            "x_hat": tf.reshape(logits if way.of_logits else image, shape),
            **{"z_mean": z_mean, "z": z, "latents": tf.concat([z_mean, spread], -1)},
            **dict.fromkeys(_OF_ROLE, spread),
        }
        return asked.value(
            probe, total, tensors, lambda each: tf.reduce_mean(tf.cast(each, x.dtype))
        )

    return loss


def _probe(way: Way) -> Probe:
    sizes = way.sizes
    d, k, batch_size, n_images = sizes.d, sizes.k, sizes.batch_size, sizes.n_images
    settings = () if way.beta is None else (("beta", way.beta),)
    return Probe(
        *(d or 1, k or 1, batch_size or 1, batch_size or 1, n_images or 1, way.shape),
        **{"mean": 0.7, "low": 0.3, "high": 0.9, "settings": settings},  # type: ignore[arg-type]
    )


def trial(asked: "Callee | ModelCallee", way: Way) -> Answer:
    """Return what a training step would make of a loss: no outputs, or the failure.

    It is called in a graph, in single precision, twice, and its gradients are taken.
    """
    from lossbench.auditing.callee import Callee, failure_of  # noqa: PLC0415

    tf = _library("tensorflow")
    if tf is None:
        return Answer(failure=Failure("itself", "", "its Keras does not run on TensorFlow"))
    if not isinstance(asked, Callee) or asked.has_model:
        return Answer(failure=Failure("itself", "", "it takes a model of its own"))
    drawn = arrays(_probe(way))
    names = ("x", "x_hat", "z_mean", "z_log_var", "z")
    drawn["z"] = drawn["z_mean"] + drawn["z_std"] * drawn["noise"]
    tensors = [tf.constant(drawn[name].reshape(len(drawn[name]), -1), "float32") for name in names]
    loss = trained(asked, way)

    def step(x: Any, x_hat: Any, z_mean: Any, z_log_var: Any, z: Any) -> Any:
        felt = {"x_hat": x_hat, "z_mean": z_mean, "z_log_var": z_log_var}
        with tf.GradientTape() as tape:
            tape.watch(list(felt.values()))
            value = loss(x, x_hat, x_hat, z_mean, z_log_var, z)
        return value, tape.gradient(value, felt)

    eager = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(False)
    try:
        compiled = tf.function(step, autograph=False)
        (value, gradients), (again, _) = (compiled(*tensors) for _ in range(2))
    except Exception as error:
        failure = failure_of(error, "itself")
        at = f" ({failure.line})" if failure.line else ""
        said = f"in a training step, a graph of TensorFlow, it raises {failure.type}: "
        return Answer(failure=Failure("itself", "", f"{said}{failure.message}{at}"))
    finally:
        tf.config.run_functions_eagerly(eager)
    if math.isfinite(value) and not math.isclose(value, again, rel_tol=_SAME):
        said = "it draws random numbers of its own; an argument `z` has the sample of each image"
        return Answer(failure=Failure("itself", "", said))
    problem = "".join(_problems(asked.found(), float(value), gradients))
    return Answer(failure=Failure("itself", "", problem) if problem else None)


def _problems(found: Found, value: float, gradients: Mapping[str, Any]) -> Iterator[str]:
    """Yield the first thing that is wrong with a value and its gradients."""
    taken = {"z_log_var" if role in _OF_ROLE else role for role in found.arguments.values()}
    if "fields" in taken:
        taken |= {"x_hat"}
    lacking = [name for name, each in gradients.items() if each is None and name in taken]
    if lacking:
        yield f"it has no gradient to its {' and '.join(lacking)}"
        return
    known = {name: each for name, each in gradients.items() if each is not None}
    tf = _library("tensorflow")
    broken = [n for n, each in known.items() if not bool(tf.reduce_all(tf.math.is_finite(each)))]
    if not math.isfinite(value) or broken:
        where = f"its gradient to {' and '.join(broken)}" if broken else "its value"
        yield f"{where} is not finite in single precision, for ordinary inputs"


def trained_loss(function: LossFunction) -> TrainedLoss:
    """Return a function of the user's own, loaded into this process, as a training step has it.

    It raises ``LossbenchError`` where the user's code raises, with its line.
    """
    from lossbench.auditing.callee import Callee  # noqa: PLC0415
    from lossbench.auditing.loading import load  # noqa: PLC0415

    way = function.way
    given = {} if way.beta is None else {"beta": way.beta}
    with _placed(function) as file, _aside(file):
        try:
            asked = load(str(file), function.function, {}, given)
        except (Exception, SystemExit) as error:
            raise _error(function, error) from error
        if not isinstance(asked, Callee):
            raise LossbenchError(f"{function.name} is a model, and is not trained itself")
        begun = asked.begin(way.framework, _probe(way)).failure
    if begun is not None:
        raise LossbenchError(f"{function.name} cannot be called: {begun.type}: {begun.message}")
    loss = trained(asked, way)

    def told(*tensors: Any) -> Any:
        try:
            return loss(*tensors)
        except (Exception, SystemExit) as error:
            raise _error(function, error) from error

    return told


def _error(function: LossFunction, error: BaseException) -> LossbenchError:
    from lossbench.auditing.callee import failure_of  # noqa: PLC0415

    failure = failure_of(error, "itself")
    return LossbenchError(
        f"{function.name}, which is trained itself, raised {failure.type}: {failure.message}",
        where=failure.line,
    )


@contextmanager
def _placed(function: LossFunction) -> Iterator[Path]:
    """Have the file of a function where it was found, or else somewhere."""
    file = function.file.absolute()
    if file.is_file() and hashlib.sha256(file.read_bytes()).hexdigest() == function.sha256:
        yield file
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, function.name.rpartition(":")[0])
        file.write_bytes(function.source)
        yield file


@contextmanager
def _aside(file: Path) -> Iterator[None]:
    """Let a file be imported, and its neighbours after all others: none is in a library's place."""
    path, cached = [*sys.path], sys.dont_write_bytecode
    known = sys.modules.get(file.stem)
    sys.dont_write_bytecode = True
    try:
        yield
    finally:
        added = [each for each in sys.path if each not in path]
        sys.path[:] = [*path, *added]
        sys.dont_write_bytecode = cached
        if known is not None:
            sys.modules[file.stem] = known


def _library(name: str) -> Any:
    return sys.modules.get(name)
