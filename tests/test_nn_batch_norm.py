"""Batch normalisation of images by one operation, beside Keras' own and its formula."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from keras.layers import BatchNormalization
from numpy.typing import NDArray

from lossbench.nn.batch_norm import in_one_operation

SHAPE = (6, 5, 3, 4)


def drawn(*shape: int) -> NDArray[np.float64]:
    """Return normal numbers of mean 1 and standard deviation 2, exact in single precision."""
    return 2 * np.random.default_rng(0).standard_normal(shape).astype("f").astype("d") + 1


def built(shape: tuple[int, ...] = SHAPE, **options: Any) -> BatchNormalization:
    """Return a layer whose scale, offset and moving statistics are not those of the start."""
    layer = BatchNormalization(**options)
    layer.build(shape)
    for index, variable in enumerate(layer.variables):
        variable.assign(0.5 + drawn(*variable.shape) ** 2 * (index + 1))
    return layer


def trained(layer: BatchNormalization, x: NDArray[Any], **given: Any) -> list[NDArray[Any]]:
    """Return output, gradients of a weighted sum of its squares, and the state afterwards."""
    x = tf.constant(x, "float32")
    weights = tf.reshape(tf.range(tf.size(x), dtype=tf.float32) % 7, x.shape)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x, training=True, **given)
        total = tf.reduce_sum(weights * tf.cast(y, tf.float32) ** 2)
    gradients = tape.gradient(total, [x, *(v.value for v in layer.trainable_variables)])
    return [np.asarray(each) for each in (y, *gradients, *layer.variables)]


def test_an_image_is_normalised_as_the_formula_has_it() -> None:
    """Ioffe and Szegedy (2015), algorithm 1; the variance divides by n, in the moving one, too."""
    layer, x = built(momentum=0.9, epsilon=0.01), drawn(*SHAPE)
    gamma, beta, mean, variance = (np.asarray(v, "d") for v in layer.variables)
    with in_one_operation():
        y = layer(tf.constant(x, "float32"), training=True)
    over = (0, 1, 2)
    expected = (x - x.mean(over)) / np.sqrt(x.var(over) + 0.01) * gamma + beta
    assert np.asarray(y) == pytest.approx(expected, rel=1e-5, abs=1e-5)
    moved = np.asarray(layer.moving_mean), np.asarray(layer.moving_variance)
    assert moved[0] == pytest.approx(0.9 * mean + 0.1 * x.mean(over), rel=1e-5)
    assert moved[1] == pytest.approx(0.9 * variance + 0.1 * x.var(over), rel=1e-5)


@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("shape", [SHAPE, (1, 1, 1, 4)])
def test_it_trains_as_keras_does(scale: bool, center: bool, shape: tuple[int, ...]) -> None:
    """Outputs, gradients and state; one value a channel, too, whose variance is 0."""
    options = {"scale": scale, "center": center, "epsilon": 0.1}
    plain, ours = built(shape, **options), built(shape, **options)
    expected = trained(plain, drawn(*shape))
    with in_one_operation():
        found = trained(ours, drawn(*shape))
    for one, other in zip(found, expected, strict=True):
        assert one == pytest.approx(other, rel=1e-4, abs=1e-4)
    used = tf.function(lambda x: ours(x, training=True)).get_concrete_function
    with in_one_operation():
        kinds = {op.type for op in used(tf.TensorSpec(shape)).graph.get_operations()}
    assert "FusedBatchNormV3" in kinds


@pytest.mark.parametrize(
    ("options", "shape", "given"),
    [
        ({}, (6, 4), {}),
        ({"axis": 1}, SHAPE, {}),
        ({"trainable": False}, SHAPE, {}),
        ({"renorm": True}, SHAPE, {}),
        ({"dtype": "float64"}, SHAPE, {}),
        ({"dtype": "mixed_float16"}, SHAPE, {}),
        ({}, SHAPE, {"mask": np.arange(90).reshape(6, 5, 3) % 4 > 0}),
    ],
    ids=lambda each: str(each)[:30],
)
def test_what_the_operation_cannot_do_is_keras_own(
    options: dict[str, Any], shape: tuple[int, ...], given: dict[str, Any]
) -> None:
    """To the last bit."""
    plain, ours = built(shape, **options), built(shape, **options)
    expected = trained(plain, drawn(*shape), **given)
    with in_one_operation():
        found = trained(ours, drawn(*shape), **given)
    assert all(map(np.array_equal, found, expected))


def test_keras_has_its_own_again_afterwards() -> None:
    """After a layer that fails, too."""
    keras_own, layer = BatchNormalization.call, built()
    with pytest.raises(ValueError, match="mask"), in_one_operation():
        layer(tf.zeros(SHAPE), training=True, mask=tf.zeros((2, 3)))
    assert BatchNormalization.call is keras_own
