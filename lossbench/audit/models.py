"""A Keras model asked like a function: its encoder and decoder run, and say what the probe says.

The model's own ``train_step`` is called eagerly. On the way the outputs of its layers for
z_mean and z_log_var, and of its decoder, are exchanged for those of the probe; what is handed to
the gradient is the objective, and there the step is broken off: no weight changes.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from lossbench.audit.answer import Answer, Failure, Found
from lossbench.audit.callee import answer_of, failure_of
from lossbench.audit.exchange import Exchange, exchanged, found_in, replaced, tensor, watched
from lossbench.audit.frameworks import seed_everything, to_array
from lossbench.audit.probe import Floats, Probe, arrays


class _Objective(BaseException):
    """Carries what was to be differentiated out of a training step."""

    def __init__(self, value: Any) -> None:
        super().__init__()
        self.value = value


def is_model(value: object) -> bool:
    """Return whether a value is a Keras model."""
    keras = sys.modules.get("keras")
    return keras is not None and isinstance(value, keras.Model)


class ModelCallee:
    """Asks a Keras model; ``sizes`` are the roles, d and k, that building it takes."""

    def __init__(self, build: Callable[..., Any], sizes: Mapping[str, str], name: str) -> None:
        self._build, self._sizes, self._name = build, dict(sizes), name
        self._models: dict[tuple[int, ...], tuple[Any, Exchange, Callable[[Any], Any]]] = {}
        self._own: tuple[int, int] | None = None

    def found(self) -> Found:
        """Return that it is a model, and which of its sizes can be varied."""
        return Found(self._name, "keras", {}, {}, (*self._sizes, "B"), model=True)

    def __call__(self, probe: Probe) -> Answer:
        """Return the model's objective on a probe."""
        self._own = self._own or (probe.d, probe.k)
        for role, size, own in zip("dk", (probe.d, probe.k), self._own, strict=True):
            if size != own and role not in self._sizes:
                return Answer(
                    failure=Failure("call", "", f"the model is built with {role} = {own}")
                )
        try:
            return self._answered(probe)
        except Exception as error:
            if hasattr(error, "failure"):
                return Answer(failure=error.failure)
            return Answer(failure=failure_of(error, "call"))

    def _answered(self, probe: Probe) -> Answer:
        key = (probe.d, probe.k)
        drawn = arrays(probe)
        if key not in self._models:
            chosen = {"d": probe.d, "k": probe.k}
            model = self._build(**{role: chosen[role] for role in self._sizes})
            self._models[key] = _prepared(model, drawn, probe)
        model, exchange, packed = self._models[key]
        seed_everything(probe.seed, "keras")
        x = tensor(_fitted(model, drawn["x"]))
        with exchanged(exchange, drawn):
            return answer_of(_objective(model, packed(x)))


def _prepared(
    model: Any, drawn: Mapping[str, Floats], probe: Probe
) -> tuple[Any, Exchange, Callable[[Any], Any]]:
    """Return a model, which of its layers to exchange, and how it takes its data."""
    if not getattr(model, "compiled", False):
        model.compile(optimizer="adam")
    x = tensor(_fitted(model, drawn["x"]))
    both, alone, packed = (lambda x: (x, x)), (lambda x: x), (lambda x: (x,))
    ways = (both, alone, packed) if _has_loss(model) else (alone, both, packed)
    problem: Exception | None = None
    for way in ways:
        calls: list[tuple[Any, Any]] = []
        try:
            with watched(calls):
                _objective(model, way(x))
        except Exception as error:
            problem = problem or error
            continue
        return model, found_in(model, calls, probe), way
    raise problem or RuntimeError("the model has no training step")


def _has_loss(model: Any) -> bool:
    return getattr(model, "loss", None) is not None


def _fitted(model: Any, x: Floats) -> Floats:
    """Return the images in the shape that the model, or its encoder, takes."""
    for each in (model, getattr(model, "encoder", None)):
        shape = getattr(each, "input_shape", None)
        if isinstance(shape, tuple) and None not in shape[1:]:
            if int(np.prod(shape[1:])) != x[0].size:
                raise ValueError(
                    f"the model takes images of shape {shape[1:]}, d = {int(np.prod(shape[1:]))}"
                )
            return x.reshape(len(x), *shape[1:])
    return x


def _objective(model: Any, data: Any) -> Any:
    """Return what a training step would differentiate, summed as a tape sums it."""
    with _intercepted():
        try:
            model.train_step(data)
        except _Objective as caught:
            targets = caught.value if isinstance(caught.value, list | tuple) else [caught.value]
            return sum(float(to_array(target).sum()) for target in targets)
    raise ValueError("its training step takes no gradient")


@contextmanager
def _intercepted() -> Iterator[None]:
    """Break a training step off where it asks for gradients."""

    def gradient(_tape: Any, target: Any, *_: Any, **__: Any) -> Any:
        raise _Objective(target)

    def backward(target: Any, *_: Any, **__: Any) -> Any:
        raise _Objective(target)

    tensorflow, torch = sys.modules.get("tensorflow"), sys.modules.get("torch")
    with (
        replaced(getattr(tensorflow, "GradientTape", None), "gradient", gradient),
        replaced(getattr(torch, "Tensor", None), "backward", backward),
    ):
        yield
