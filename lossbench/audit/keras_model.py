"""A Keras model asked like a function: its encoder and decoder run, and say what the probe says.

The model's own ``train_step`` is called eagerly. On the way the outputs of its layers for
z_mean and z_log_var, and of its decoder, are exchanged for those of the probe; what is handed to
the gradient is the objective, and there the step is broken off: no weight changes. At another k
than the model's own, layers that cannot take it give what they gave at their own k.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lossbench.audit.callee import answer_of, failure_of, settings_of
from lossbench.audit.probe import Floats, Probe, arrays
from lossbench.audit.records import Answer, Failure, Found
from lossbench.audit.signature import Refusal, usual_role
from lossbench.audit.tensors import Maker, seed_everything, to_array

_NOISE = ("dense", "fc", "layer", "linear", "to", "head", "enc", "encoder", "out", "conv")
_SHARED = ("z_mean", "z_log_var")
_Call = tuple[Any, Any, Any]  # a layer, what it took first, what it gave
_LIBRARIES = ("keras", "tf_keras")


class _Objective(BaseException):
    """Carries what was to be differentiated out of a training step."""

    def __init__(self, value: Any) -> None:
        super().__init__()
        self.value = value


def library_of(value: object) -> Any:
    """Return the loaded library, Keras or tf_keras, that a model is of; ``None`` for no model."""
    for name in _LIBRARIES:
        library: Any = sys.modules.get(name)
        if library is not None and hasattr(library, "Model") and isinstance(value, library.Model):
            return library
    return None


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

    The layer for z_mean and for z_log_var may be one, for both halves of the latents; ``gave``
    holds every layer's output at the model's own k.
    """

    model: Any
    z_mean: Any
    z_log_var: Any
    decoder: Any
    packed: Callable[[Any], Any]
    gave: dict[int, Any]
    k: int


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

    def found(self) -> Found:
        """Return that it is a model, and which of its sizes can be varied."""
        d = ["d"] if {"d", "shape"} & {*self._sizes} else []
        k = ["k"] if "k" in self._sizes or self._k_varies else []
        filled = [f"{name} := {role}, as it is asked" for role, name in self._sizes.items()]
        return Found(self._name, "keras", {}, tuple(filled), {}, (*d, *k, "B"), model=True)

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
        except Refusal as refusal:
            return Answer(failure=refusal.failure)
        except Exception as error:
            return Answer(failure=failure_of(error, "call"))

    def _answered(self, probe: Probe) -> Answer:
        chosen = {"d": probe.d, "k": probe.k, "shape": probe.shape}
        key = (*(chosen[role] for role in self._sizes), probe.settings)
        drawn = arrays(probe)
        if key not in self._models:
            sizes = {name: chosen[role] for role, name in self._sizes.items()}
            model = self._build(**sizes, **settings_of(probe, self._scope))
            self._models[key] = _prepared(model, drawn, probe)
        ready = self._models[key]
        seed_everything(probe.seed, "keras")
        x = _tensor(_fitted(ready.model, drawn["x"]))
        with _exchanged(ready, drawn, probe):
            return answer_of(_objective(ready.model, ready.packed(x)), {})


def _tensor(array: Floats) -> Any:
    """Return a float32 tensor of Keras' backend."""
    framework = "keras" if "keras" in sys.modules else "tensorflow"
    return Maker(framework, single=True).tensor(array)


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
        return _Ready(model, *_layers_in(model, calls, probe), way, gave, probe.k)
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
        calls.append((layer, args[0] if args else None, given))
        return given

    with _replaced(library.layers.Layer, "__call__", call):
        yield


@contextmanager
def _exchanged(ready: _Ready, drawn: Mapping[str, Floats], probe: Probe) -> Iterator[None]:
    """Have the chosen layers give what the probe says, in their own shape."""
    layers = library_of(ready.model).layers
    before = layers.Layer.__call__
    shared = np.concatenate([drawn["z_mean"], drawn["z_log_var"]], axis=1)

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            given = before(layer, *args, **kwargs)
        except Exception:
            if probe.k == ready.k or not layer.weights or id(layer) not in ready.gave:
                raise
            given = _for_rows(ready.gave[id(layer)], probe.rows)  # it cannot take another k
        if layer is ready.decoder:
            first = given[0] if isinstance(given, list | tuple) else given
            return _tensor(drawn["x_hat"].reshape(tuple(first.shape)))
        if layer is ready.z_mean and layer is ready.z_log_var:
            if isinstance(given, list | tuple):
                own = [_tensor(drawn[role]) for role in _SHARED]
                rest = [_sampled(part, probe, drawn) for part in given[2:]]
                return type(given)([*own, *rest])
            return _tensor(shared)
        for role, chosen in (("z_mean", ready.z_mean), ("z_log_var", ready.z_log_var)):
            if layer is chosen:
                return _tensor(drawn[role])
        return given

    with _replaced(layers.Layer, "__call__", call):
        yield


def _sampled(part: Any, probe: Probe, drawn: Mapping[str, Floats]) -> Any:
    """Return a further output of an encoder; the sample, where it has another k."""
    if tuple(getattr(part, "shape", ()))[-1:] == (probe.k,):
        return part
    return _tensor(drawn["z_mean"] + np.exp(drawn["z_log_var"] / 2) * drawn["noise"])


def _for_rows(given: Any, rows: int) -> Any:
    """Return outputs that were noted once, for as many rows as there are now."""
    if isinstance(given, list | tuple):
        return type(given)([_for_rows(part, rows) for part in given])
    array = to_array(given)
    return _tensor(np.resize(array, (rows, *array.shape[1:])))


def _layers_in(model: Any, calls: list[_Call], probe: Probe) -> tuple[Any, Any, Any]:
    """Return the layers for z_mean, z_log_var and the reconstruction, by name, else by shape."""
    names = _names(model)
    heads: dict[str, Any] = {}
    flat: list[Any] = []
    both: Any = None
    decoder: Any = None
    by_name = False
    drawn: Any = None
    for layer, _, given in calls:
        several = isinstance(given, list | tuple)
        shape = None if several else tuple(getattr(given, "shape", ()))
        own = names.get(id(layer), set()) | {layer.name}
        for role in _SHARED:
            if shape == (probe.rows, probe.k) and role in {_role(name) for name in own}:
                heads[role] = layer
        if shape == (probe.rows, probe.k) and type(layer).__name__ == "Dense":
            flat.append(layer)
        if both is None and several and len(given) > 1:
            shapes = [tuple(getattr(part, "shape", ())) for part in given[:2]]
            both = layer if shapes == [(probe.rows, probe.k)] * 2 else None
        elif both is None and shape == (probe.rows, 2 * probe.k):
            both = layer
        if shape is not None and layer is not model and np.prod(shape) == probe.rows * probe.d:
            named = any("decod" in name.lower() for name in own)
            if named or not by_name:
                decoder, drawn, by_name = layer, given, by_name or named
    if decoder is not None and not by_name:  # a layer of the loss may hand on what it was given
        decoder = next(layer for layer, _, given in calls if _is_same(given, drawn))
    if len(heads) < 2:
        heads = _pair_in(calls, probe)
    if len(heads) < 2:
        pair = flat[:2] if both is None and len(flat) >= 2 else [both, both]
        heads = dict(zip(_SHARED, pair, strict=True))
    absent = [role for role, layer in [*heads.items(), ("decoder", decoder)] if layer is None]
    if absent:
        wanted = f"(batch, {probe.k}) for each, and (batch, ...) of {probe.d} values"
        raise ValueError(
            f"its layers for {', '.join(absent)} were not recognised: name them z_mean, z_log_var "
            f"and decoder; their outputs are {wanted}"
        )
    return heads["z_mean"], heads["z_log_var"], decoder


def _pair_in(calls: list[_Call], probe: Probe) -> dict[str, Any]:
    """Return the layers whose outputs are taken, or given on, as a pair of latents."""
    for _, taken, given in calls:
        for parts in (taken, given):
            several = parts if isinstance(parts, list | tuple) else ()
            pair = [p for p in several if tuple(getattr(p, "shape", ())) == (probe.rows, probe.k)]
            sources = [
                next((layer for layer, _, own in calls if _is_same(own, part)), None)
                for part in pair[:2]
            ]
            if len(sources) == 2 and None not in sources and sources[0] is not sources[1]:
                return dict(zip(_SHARED, sources, strict=True))
    return {}


def _is_same(one: Any, other: Any) -> bool:
    if one is other:
        return True
    alike = not isinstance(one, list | tuple) and getattr(one, "shape", None) == other.shape
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
