"""A user's loss as something that answers probes: tensors in, plain values out."""

import functools
import traceback
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from lossbench.audit.answer import Answer, Failure, Found, Output
from lossbench.audit.frameworks import Maker, makers, seed_everything, to_array
from lossbench.audit.probe import Floats, Probe, arrays
from lossbench.audit.roles import Signature

_SIZES = {"d": "d", "k": "k", "B": "batch_size", "N": "n_images"}


class Callee:
    """Calls a loss; the first call settles in which library and precision it takes tensors."""

    def __init__(self, loss: Callable[..., object], signature: Signature, name: str = "") -> None:
        self._loss = loss
        self._arguments = dict(signature.arguments)
        self._positional = signature.positional
        self._maker: Maker | None = None
        self.name = name
        self.defaults = dict(signature.defaults)

    def found(self) -> Found:
        """Return how the loss is called; known after its first call."""
        framework = self._maker.framework if self._maker else ""
        varies = tuple(role for role in ("d", "k", "B")) + (
            ("N",) if "N" in self._arguments.values() else ()
        )
        return Found(self.name, framework, self._arguments, self.defaults, varies)

    def __call__(self, probe: Probe) -> Answer:
        """Return the loss's answer to a probe."""
        drawn = _cached(probe)
        if self._maker is not None:
            return self._called(self._maker, probe, drawn)
        first: Answer | None = None
        for maker in makers(self._loss):
            answer = self._called(maker, probe, drawn)
            if answer.failure is None and not any(out.type for out in answer.outputs):
                self._maker = maker
                return answer
            first = first or answer
        assert first is not None  # noqa: S101 - there is always NumPy
        return first

    def _called(self, maker: Maker, probe: Probe, drawn: Mapping[str, Floats]) -> Answer:
        values: dict[str, Any] = {}
        for name, role in self._arguments.items():
            size = _SIZES.get(role)
            values[name] = getattr(probe, size) if size else maker.make(tensor(drawn, role))
        before = {
            n: to_array(values[n]).copy() for n, r in self._arguments.items() if r not in _SIZES
        }
        given = dict(probe.settings)
        ordered = [
            values.pop(name) if name in values else given.pop(name) for name in self._positional
        ]
        seed_everything(probe.seed, maker.framework)
        kept = dict(values)
        try:
            returned = self._loss(*ordered, **values, **given)
        except Exception as error:
            return Answer(failure=failure_of(error, "call"))
        mutated = [
            name
            for name, array in before.items()
            if name in kept and not np.array_equal(to_array(kept[name]), array, equal_nan=True)
        ]
        return replace(answer_of(returned), mutated=tuple(mutated))


@functools.lru_cache(maxsize=64)
def _cached(probe: Probe) -> dict[str, Floats]:
    return arrays(probe)


def tensor(drawn: Mapping[str, Floats], role: str) -> Floats:
    """Return the array that a role stands for."""
    match role:
        case "z_std":
            return np.exp(drawn["z_log_var"] / 2)
        case "z_var":
            return np.exp(drawn["z_log_var"])
        case "z":
            return drawn["z_mean"] + np.exp(drawn["z_log_var"] / 2) * drawn["noise"]
    return drawn[role]


def answer_of(returned: object) -> Answer:
    """Return whatever a loss returned as plain values."""
    if isinstance(returned, Mapping):
        named = [(str(name), value) for name, value in returned.items()]
        kind = "dict"
    elif isinstance(returned, tuple | list):
        named = [("", value) for value in returned]
        kind = "tuple"
    else:
        named, kind = [("", returned)], ""
    return Answer(outputs=tuple(_output(name, value) for name, value in named), returned=kind)


def _output(name: str, value: object) -> Output:
    try:
        array = to_array(value)
        numeric = array.dtype.kind in "fiu" or array.dtype.name == "bfloat16"
    except Exception:
        numeric = False
    if value is None or not numeric:
        return Output(name, (), 0.0, 0, False, type(value).__name__)
    wide = array.astype(np.float64)
    n_bad = int(np.count_nonzero(~np.isfinite(wide)))
    mean = float(wide.mean()) if wide.size and not n_bad else 0.0
    return Output(name, array.shape, mean, n_bad, array.dtype.itemsize < 8)


def failure_of(error: BaseException, stage: str, file: str = "") -> Failure:
    """Return an exception as plain values, with the innermost line of the user's own code."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "lossbench" not in f.filename]
    own = [f for f in frames if "site-packages" not in f.filename and "<frozen" not in f.filename]
    own = [f for f in own if not file or f.filename == file] or own
    line = f"line {own[-1].lineno}: {own[-1].line}" if own else ""
    text = " ".join(str(error).split())
    return Failure(stage, type(error).__name__, text[:300], line)
