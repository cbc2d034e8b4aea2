"""Which layers of a Keras model give its latents and its reconstruction, and exchanging these."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from lossbench.audit.probe import Floats, Probe
from lossbench.audit.roles import usual_role

_NOISE = ("dense", "fc", "layer", "linear", "to", "head", "enc", "encoder", "out", "conv")
_SHARED = ("z_mean", "z_log_var")


def tensor(array: Floats) -> Any:
    """Return a float32 tensor of Keras' backend."""
    keras: Any = sys.modules["keras"]
    return keras.ops.convert_to_tensor(array.astype(np.float32))


@dataclass(frozen=True)
class Exchange:
    """Which layers' outputs are exchanged: one each, or one for both halves of the latents."""

    z_mean: Any
    z_log_var: Any
    decoder: Any


@contextmanager
def replaced(owner: Any, name: str, function: Any) -> Iterator[None]:
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
def watched(calls: list[tuple[Any, Any]]) -> Iterator[None]:
    """Note every layer that is called, with what it gave."""
    keras: Any = sys.modules["keras"]
    before = keras.layers.Layer.__call__

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        given = before(layer, *args, **kwargs)
        calls.append((layer, given))
        return given

    with replaced(keras.layers.Layer, "__call__", call):
        yield


@contextmanager
def exchanged(exchange: Exchange, drawn: Mapping[str, Floats]) -> Iterator[None]:
    """Have the chosen layers give what the probe says, in their own shape."""
    keras: Any = sys.modules["keras"]
    before = keras.layers.Layer.__call__
    shared = np.concatenate([drawn["z_mean"], drawn["z_log_var"]], axis=1)

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        given = before(layer, *args, **kwargs)
        if layer is exchange.decoder:
            return tensor(drawn["x_hat"].reshape(tuple(given.shape)))
        if layer is exchange.z_mean and layer is exchange.z_log_var:
            if isinstance(given, list | tuple):
                own = [tensor(drawn[role]) for role in _SHARED]
                return type(given)([*own, *given[2:]])
            return tensor(shared)
        for role, chosen in (("z_mean", exchange.z_mean), ("z_log_var", exchange.z_log_var)):
            if layer is chosen:
                return tensor(drawn[role])
        return given

    with replaced(keras.layers.Layer, "__call__", call):
        yield


def found_in(model: Any, calls: list[tuple[Any, Any]], probe: Probe) -> Exchange:
    """Return the layers that give the latents and the reconstruction, by name, else by shape."""
    names = _names(model)
    heads: dict[str, Any] = {}
    both: Any = None
    decoder: Any = None
    by_name = False
    for layer, given in calls:
        several = isinstance(given, list | tuple)
        shape = None if several else tuple(getattr(given, "shape", ()))
        own = names.get(id(layer), set()) | {layer.name}
        for role in _SHARED:
            if shape == (probe.rows, probe.k) and role in {_role(name) for name in own}:
                heads[role] = layer
        if both is None and several and len(given) > 1:
            shapes = [tuple(getattr(part, "shape", ())) for part in given[:2]]
            both = layer if shapes == [(probe.rows, probe.k)] * 2 else None
        elif both is None and shape == (probe.rows, 2 * probe.k):
            both = layer
        if shape is not None and layer is not model and np.prod(shape) == probe.rows * probe.d:
            named = any("decod" in name.lower() for name in own)
            if named or not by_name:
                decoder, by_name = layer, by_name or named
    if len(heads) < 2:
        heads = {"z_mean": both, "z_log_var": both}
    missing = [role for role, layer in [*heads.items(), ("decoder", decoder)] if layer is None]
    if missing:
        wanted = f"(batch, {probe.k}) for each, and (batch, ...) of {probe.d} values"
        raise ValueError(
            f"its layers for {', '.join(missing)} were not recognised: name them z_mean, z_log_var "
            f"and decoder; their outputs are {wanted}"
        )
    return Exchange(heads["z_mean"], heads["z_log_var"], decoder)


def _role(name: str) -> str:
    words = [w for w in name.lower().split("_") if w not in _NOISE and not w.isdigit()]
    return usual_role("_".join(words))


def _names(model: Any) -> dict[int, set[str]]:
    """Return the attributes under which layers are held, anywhere in the model."""
    found: dict[int, set[str]] = {}
    for owner in model._flatten_layers():
        for name, value in vars(owner).items():
            found.setdefault(id(value), set()).add(name)
    return found
