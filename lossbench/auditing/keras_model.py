"""A Keras model asked like a function: its encoder and decoder run, and say what the probe says.

The model's own ``train_step`` is called eagerly. On the way the outputs of its layers for
z_mean and z_log_var, and of its decoder, are exchanged for those of the probe; what is handed to
the gradient is the objective, and there the step is broken off: no weight changes. At another k
than the model's own, layers that cannot take it give what they gave at their own k.
"""

import inspect
import operator
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lossbench.arrays import to_array
from lossbench.auditing.callee import answer_of, failure_of, foretold, settings_of
from lossbench.auditing.probe import Floats, Probe, arrays
from lossbench.auditing.records import Answer, Failure, Found
from lossbench.auditing.signature import Refusal, usual_role
from lossbench.auditing.source import underlying
from lossbench.auditing.tensors import Maker, Values, seed_everything
from lossbench.words import counted

_NOISE = ("dense", "fc", "layer", "linear", "to", "head", "enc", "encoder", "out", "conv")
_SHARED = ("z_mean", "z_log_var")
_LIBRARIES = ("keras.", "tf_keras.", "tensorflow_probability.")
_Call = tuple[Any, Any, Any]  # a layer, what it took first, what it gave


class _Objective(BaseException):
    """Carries what was to be differentiated out of a training step."""

    def __init__(self, value: Any) -> None:
        super().__init__()
        self.value = value


def library_of(value: object) -> Any:
    """Return the loaded library, Keras or tf_keras, that a model is of; ``None`` for no model."""
    loaded = [sys.modules.get(name) for name in ("keras", "tf_keras")]
    return next((lib for lib in loaded if isinstance(value, getattr(lib, "Model", ()))), None)


def is_model(value: object) -> bool:
    """Return whether a value is a Keras model."""
    return library_of(value) is not None


def model_in(built: object) -> Any:
    """Return the model to train among what a builder returned, or ``None``.

    Of several it is one with a training step of its own, else with a loss, else the one that the
    most layers lie in.
    """
    if isinstance(built, Mapping):
        built = tuple(built.values())
    models = [m for m in (built if isinstance(built, tuple | list) else [built]) if is_model(m)]

    def rank(model: Any) -> tuple[bool, bool, int]:
        own = type(model).train_step is not library_of(model).Model.train_step
        return own, _has_loss(model) or bool(getattr(model, "losses", ())), len(_layers(model))

    return max(models, key=rank, default=None)


@dataclass
class _Ready:
    """A model with which of its layers are exchanged, how it takes data and what layers gave.

    The layers in ``heads`` for z_mean and for z_log_var may be one, for both halves of the
    latents; ``gave`` holds every layer's output at the model's own k. ``numbers`` are those that
    something else than training moves, as a callback does: by name, in what and under which key.
    """

    model: Any
    heads: dict[str, Any]
    decoder: Any
    packed: Callable[[Any], Any]
    gave: dict[int, Any]
    k: int
    numbers: Mapping[str, tuple[Any, str]]


class ModelCallee:
    """Asks a Keras model; ``sizes`` maps the roles that building it takes to its parameters.

    ``scope`` holds the objects that settings may name.
    """

    def __init__(
        self,
        build: Callable[..., Any],
        sizes: Mapping[str, str],
        name: str,
        scope: Mapping[str, Any],
    ) -> None:
        self._build, self._sizes, self._name, self._scope = build, dict(sizes), name, scope
        self._models: dict[object, _Ready] = {}
        self._own: tuple[int, int] | None = None
        self._k_varies = False
        self._numbers: dict[str, float] = {}

    def found(self) -> Found:
        """Return that it is a model, and which of its sizes can be varied."""
        d = ["d"] if {"d", "shape"} & {*self._sizes} else []
        k = ["k"] if "k" in self._sizes or self._k_varies else []
        filled = [f"{name} := {role}, as it is asked" for role, name in self._sizes.items()]
        return Found(
            self._name, "keras", {}, tuple(filled), self._numbers, (*d, *k, "B"), model=True
        )

    def __call__(self, probe: Probe) -> Answer:
        """Return the model's objective on a probe."""
        first = self._own is None
        self._own = self._own or (probe.d, probe.k)
        if probe.d != self._own[0] and not {"d", "shape"} & {*self._sizes}:
            own = self._own[0]
            return Answer(failure=Failure("call", "", f"the model is built with d = {own}"))
        answer = self._tried(probe)
        if first and answer.failure is None and "k" not in self._sizes:
            other = self._tried(replace(probe, k=probe.k + 1, latent_shape=()))
            self._k_varies = other.failure is None
        return answer

    def _tried(self, probe: Probe) -> Answer:
        try:
            return self._answered(probe)
        except Exception as error:
            return Answer(failure=failure_of(error, "call"))

    def _answered(self, probe: Probe) -> Answer:
        chosen = {"d": probe.d, "k": probe.k, "shape": probe.shape}
        given = settings_of(probe, self._scope)  # formulas by what they are worth here
        written = {name: given.pop(name) for name in self._numbers.keys() & given.keys()}
        key = (*(chosen[role] for role in self._sizes), repr(given))
        if key not in self._models:
            sizes = {name: chosen[role] for role, name in self._sizes.items()}
            seed_everything(probe.seed, "keras" if "keras" in sys.modules else "")
            model = self._build(**sizes, **given)
            self._models[key] = ready = _prepared(model, arrays(probe), probe)
            self._numbers |= {name: _number(*place) for name, place in ready.numbers.items()}
        ready, values = self._models[key], Values(probe, _maker(), {}, {})
        x = _tensor(_fitted(ready.model, arrays(probe)["x"]))

        def objective() -> Any:
            seed_everything(probe.seed, "keras")
            with _written(ready, written), _exchanged(ready, values):
                return _objective(ready.model, ready.packed(x))

        return foretold(values, objective) if probe.along else answer_of(objective(), {})


def _maker() -> Maker:
    """Return what makes float32 tensors of Keras' backend."""
    return Maker("keras" if "keras" in sys.modules else "tensorflow", single=True)


def _tensor(array: Floats) -> Any:
    return _maker().tensor(array)


def _prepared(model: Any, drawn: Mapping[str, Floats], probe: Probe) -> _Ready:
    """Return a model, which of its layers to exchange, and how it takes its data."""
    if not getattr(model, "compiled", getattr(model, "_is_compiled", False)):
        model.compile(optimizer="adam")
    x = _tensor(_fitted(model, drawn["x"]))
    both, alone, packed = (lambda x: (x, x)), (lambda x: x), (lambda x: (x,))
    ways = (both, alone, packed) if _has_loss(model) else (alone, both, packed)
    problem: Exception | None = None
    for way in ways:
        calls: list[_Call] = []
        try:
            with _watched(library_of(model), calls):
                _objective(model, way(x))
        except Exception as error:
            problem = problem or error
            continue
        gave = {id(layer): given for layer, _, given in calls}
        return _Ready(model, *_chosen(model, calls, probe), way, gave, probe.k, _numbers(model))
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
            return sum(map(_summed, targets))
    raise ValueError("its training step takes no gradient")


def _numbers(model: Any) -> dict[str, tuple[Any, str]]:
    """Return the numbers of a model that a callback moves; another one is a constant of it."""
    found: dict[str, tuple[Any, str]] = {}
    own = [each for each in _layers(model) if not type(each).__module__.startswith(_LIBRARIES)]
    for owner in own:
        kind = type(owner)
        for key, value in vars(owner).items():
            if not key.startswith("_") and _is_moved(value):
                found[f"{kind.__name__}.{key}"] = owner, key
        for function in filter(inspect.isfunction, map(underlying, vars(kind).values())):
            known = function.__globals__
            for name in function.__code__.co_names:
                if _is_moved(known.get(name)):
                    found[name] = known, name
    return found


def _is_moved(value: Any) -> bool:
    """Return whether a value is 0.0, or a variable of one number that is not trained."""
    if type(value) is float:
        return not value
    if not (hasattr(value, "assign") and getattr(value, "shape", None) == ()):
        return False
    return not value.trainable and "float" in str(value.dtype)


def _number(holder: Any, key: str) -> float:
    return float(to_array((holder if isinstance(holder, dict) else vars(holder))[key]))


@contextmanager
def _written(ready: _Ready, values: Mapping[str, float]) -> Iterator[None]:
    """Write numbers of the model for a while."""
    before = {name: _number(*ready.numbers[name]) for name in values}
    try:
        for name, value in values.items():
            _write(*ready.numbers[name], value)
        yield
    finally:
        for name, value in before.items():
            _write(*ready.numbers[name], value)


def _write(holder: Any, key: str, value: float) -> None:
    names = holder if isinstance(holder, dict) else vars(holder)
    if hasattr(names[key], "assign"):
        names[key].assign(value)
    elif holder is names:
        names[key] = value
    else:
        setattr(holder, key, value)


def _summed(target: Any) -> Any:
    return target.sum() if hasattr(target, "sum") else sys.modules["tensorflow"].reduce_sum(target)


@contextmanager
def _intercepted() -> Iterator[None]:
    """Break a training step off where it asks for gradients."""

    def gradient(_tape: Any, target: Any, *_: Any, **__: Any) -> Any:
        raise _Objective(target)

    def backward(target: Any, *_: Any, **__: Any) -> Any:
        raise _Objective(target)

    tensorflow, torch = sys.modules.get("tensorflow"), sys.modules.get("torch")
    with (
        _replaced(getattr(tensorflow, "GradientTape", None), "gradient", gradient),
        _replaced(getattr(torch, "Tensor", None), "backward", backward),
    ):
        yield


@contextmanager
def _replaced(owner: Any, name: str, function: Any) -> Iterator[None]:
    """Put a function in the place of an attribute for a while; an owner of None has none."""
    if owner is None:
        yield
        return
    before = getattr(owner, name)
    setattr(owner, name, function)
    try:
        yield
    finally:
        setattr(owner, name, before)


@contextmanager
def _watched(library: Any, calls: list[_Call]) -> Iterator[None]:
    """Note every layer that is called, with what it took first and what it gave."""
    before = library.layers.Layer.__call__

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        given = before(layer, *args, **kwargs)
        parts = given if isinstance(given, list | tuple) else [given]
        if not any("Symbolic" in type(part).__name__ for part in parts):  # Keras asks for shapes
            calls.append((layer, args[0] if args else None, given))
        return given

    with _replaced(library.layers.Layer, "__call__", call):
        yield


@contextmanager
def _exchanged(ready: _Ready, values: Values) -> Iterator[None]:
    """Have the chosen layers give what the probe says, in their own shape."""
    library, probe = library_of(ready.model), values.probe
    layers, reshaped = library.layers, getattr(library, "ops", sys.modules["tensorflow"]).reshape
    before = layers.Layer.__call__

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            given = before(layer, *args, **kwargs)
        except Exception:
            if probe.k == ready.k or not layer.weights or id(layer) not in ready.gave:
                raise
            given = _for_rows(ready.gave[id(layer)], probe.rows)  # it cannot take another k
        several = isinstance(given, list | tuple)
        if layer is ready.decoder:
            return reshaped(values["x_hat"], _shape(given[0] if several else given))
        own = [role for role, head in ready.heads.items() if head is layer]
        if own and several:
            rest = [part if _shape(part)[-1:] == (probe.k,) else values["z"] for part in given[2:]]
            return type(given)([*(values[role] for role in own), *rest])
        return values["latents" if len(own) > 1 else own[0]] if own else given

    with _replaced(layers.Layer, "__call__", call):
        yield


def _for_rows(given: Any, rows: int) -> Any:
    """Return outputs that were noted once, for as many rows as there are now."""
    if isinstance(given, list | tuple):
        return type(given)([_for_rows(part, rows) for part in given])
    array = to_array(given)
    return _tensor(np.resize(array, (rows, *array.shape[1:])))


def _chosen(model: Any, calls: list[_Call], probe: Probe) -> tuple[dict[str, Any], Any]:
    """Return the layers for the latents and for the reconstruction, by name, else by shape.

    A single operation of TensorFlow that Keras made a layer of is a part of the loss.
    """
    calls = [call for call in calls if not type(call[0]).__name__.endswith("OpLambda")]
    drawn = [type(given).__name__ for _, _, given in calls if hasattr(given, "log_prob")]
    if drawn:
        raise Refusal("distributions", " and ".join(dict.fromkeys(drawn)))
    latent = (probe.rows, probe.k)
    attributes = _names(model)
    names = {id(layer): {*attributes.get(id(layer), ()), layer.name} for layer, *_ in calls}
    heads = {
        role: layer
        for layer, _, given in calls
        for role in _SHARED
        if _shape(given) == latent and role in map(_role, names[id(layer)])
    }
    if len(heads) < 2:
        heads = _pair_in(calls, latent)
    if len(heads) < 2:
        both = [layer for layer, _, given in calls if _holds_both(given, latent)]
        dense = [layer for layer, _, given in calls if _shape(given) == latent]
        dense = [layer for layer in dense if type(layer).__name__ == "Dense"]
        pair = dense[:2] if not both and len(dense) > 1 else [*both[:1], *both[:1]]
        heads = dict(zip(_SHARED, pair, strict=False))
    images = [
        (layer, given)
        for layer, _, given in calls
        if layer is not model and _shape(given) and np.prod(_shape(given)) == probe.rows * probe.d
    ]
    named = [layer for layer, _ in images if "decod" in " ".join(names[id(layer)]).lower()]
    decoder = named[-1] if named else None
    if images and not named:  # a layer of the loss may hand on what it was given
        decoder = _source(calls, images[-1][1])
    absent = [role for role in _SHARED if role not in heads] + ["decoder"] * (decoder is None)
    if absent:
        wanted = f"(batch, {probe.k}) for each, and (batch, ...) of {counted(probe.d, 'value')}"
        raise ValueError(
            f"its layers for {', '.join(absent)} were not recognised: name them z_mean, z_log_var "
            f"and decoder; their outputs are {wanted}"
        )
    return heads, decoder


def _shape(given: Any) -> tuple[int, ...]:
    """Return the shape of a tensor; nothing for several."""
    return tuple(getattr(given, "shape", ()))


def _holds_both(given: Any, latent: tuple[int, int]) -> bool:
    """Return whether an output is both latents, as a pair or side by side."""
    if isinstance(given, list | tuple):
        return [_shape(part) for part in given[:2]] == [latent, latent]
    return _shape(given) == (latent[0], 2 * latent[1])


def _pair_in(calls: list[_Call], latent: tuple[int, int]) -> dict[str, Any]:
    """Return the layers whose outputs are taken, or given on, as a pair of latents."""
    for _, *sides in calls:
        for parts in sides:
            several = parts if isinstance(parts, list | tuple) else ()
            pair = [part for part in several if _shape(part) == latent][:2]
            sources = [_source(calls, part) for part in pair]
            if len(sources) == 2 and None not in sources and sources[0] is not sources[1]:
                return dict(zip(_SHARED, sources, strict=True))
    return {}


def _source(calls: list[_Call], part: Any) -> Any:
    """Return the layer that gave a tensor first, else one that gave an equal one, or ``None``.

    Equal values alone may be another layer's: units of ReLU that are all off give zeros, as a
    layer without biases behind them does.
    """
    for is_it in (operator.is_, _is_equal):
        for layer, _, given in calls:
            if is_it(given, part):
                return layer
    return None


def _is_equal(one: Any, other: Any) -> bool:
    alike = not isinstance(one, list | tuple) and _shape(one) == _shape(other)
    return alike and np.array_equal(to_array(one), to_array(other))


def _role(name: str) -> str:
    words = [w for w in name.lower().split("_") if w not in _NOISE and not w.isdigit()]
    return usual_role("_".join(words))


def _layers(model: Any) -> list[Any]:
    return list(model._flatten_layers())


def _names(model: Any) -> dict[int, set[str]]:
    """Return the attributes under which layers are held, anywhere in the model."""
    found: dict[int, set[str]] = {}
    for owner in _layers(model):
        for name, value in vars(owner).items():
            found.setdefault(id(value), set()).add(name)
    return found
