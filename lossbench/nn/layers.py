"""Dense layers for several models at once, and the initial weights of one model."""

import functools
import itertools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray


class StackedDense(keras.layers.Layer):
    """``activation(x @ kernel + bias)`` for every member of a stack.

    Input ``(members, batch, fan_in)``, kernel ``(members, fan_in, units)``, bias
    ``(members, 1, units)``, output ``(members, batch, units)``. Nothing couples two members.
    """

    def __init__(
        self, units: int, activation: Callable[[Any], Any] | None = None, **layer: object
    ) -> None:
        super().__init__(**layer)
        self.units = units
        self.activation = keras.activations.get(activation)

    def build(self, input_shape: tuple[int, ...]) -> None:
        """Create the weights; they are set from ``initial_weights`` before training."""
        members, _, fan_in = input_shape
        self.kernel = self.add_weight(shape=(members, fan_in, self.units), initializer="zeros")
        self.bias = self.add_weight(shape=(members, 1, self.units), initializer="zeros")

    def call(self, inputs):  # type: ignore[no-untyped-def]
        """Return the activations of every member."""
        return self.activation(ops.matmul(inputs, self.kernel) + self.bias)


@functools.lru_cache(maxsize=64)
def initial_weights(layers: tuple[tuple[int, int], ...], seed: int) -> tuple[NDArray[Any], ...]:
    """Return kernel and bias of every ``(fan_in, units)`` layer of one model.

    Kernels are Glorot uniform, biases zero. They are drawn for one member at a time: on a
    stacked shape an initializer would take the members for a part of the fan-out.
    """
    kernels = (
        keras.initializers.GlorotUniform(seed=_layer_seed(seed, index))(shape)
        for index, shape in enumerate(layers)
    )
    weights = (
        (np.asarray(kernel), np.zeros(units, np.float32))
        for kernel, (_, units) in zip(kernels, layers, strict=True)
    )
    return tuple(itertools.chain.from_iterable(weights))


def _layer_seed(seed: int, index: int) -> int:
    return int(np.random.SeedSequence([seed, index]).generate_state(1)[0] >> 1)
