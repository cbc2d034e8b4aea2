"""Gradients that are written out: those of the function, by differences and by TensorFlow."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import tensorflow as tf

from lossbench.nn.gradients import cross_entropy, products, relu

_Function = Callable[..., tf.Tensor]
_STEP = 1e-6


def _drawn(*shapes: tuple[int, ...]) -> list[tf.Tensor]:
    generator = np.random.default_rng(0)
    return [tf.constant(generator.normal(size=shape)) for shape in shapes]


def _weighed(function: _Function) -> _Function:
    """Return a scalar of every output, none with the weight of another."""

    def scalar(*inputs: tf.Tensor) -> tf.Tensor:
        outputs = function(*inputs)
        outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
        flat = tf.concat([tf.reshape(output, [-1]) for output in outputs], 0)
        return tf.reduce_sum(flat * tf.range(1, len(flat) + 1, dtype=flat.dtype))

    return scalar


def _gradients(function: _Function, inputs: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        total = _weighed(function)(*inputs)
    return tape.gradient(total, inputs)


def _by_differences(function: _Function, inputs: Sequence[tf.Tensor], which: int) -> np.ndarray:
    """Return the gradient with respect to one input, element by element."""
    scalar, centre = _weighed(function), inputs[which].numpy()
    found = np.empty_like(centre)
    for place in np.ndindex(centre.shape):
        sides = []
        for step in (_STEP, -_STEP):
            moved = centre.copy()
            moved[place] += step
            sides.append(scalar(*inputs[:which], tf.constant(moved), *inputs[which + 1 :]))
        found[place] = (sides[0] - sides[1]) / (2 * _STEP)
    return found


def _plain_products(x: tf.Tensor, *kernels: tf.Tensor) -> list[tf.Tensor]:
    return [tf.matmul(x, kernel) for kernel in kernels]


def _plain_cross_entropy(logits: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    p = tf.sigmoid(logits)
    return -tf.reduce_sum(x * tf.math.log(p) + (1 - x) * tf.math.log(1 - p), -1)


CASES: dict[str, tuple[_Function, _Function, list[tuple[int, ...]]]] = {
    "relu": (relu, tf.nn.relu, [(2, 3, 4)]),
    "two products": (products, _plain_products, [(2, 5, 4), (2, 4, 3), (2, 4, 3)]),
    "unequal products": (products, _plain_products, [(3, 5, 2), (3, 2, 1), (3, 2, 4), (3, 2, 2)]),
    "cross-entropy": (cross_entropy, _plain_cross_entropy, [(2, 3, 4), (2, 3, 4)]),
    "cross-entropy of 17": (cross_entropy, _plain_cross_entropy, [(2, 17), (2, 17)]),
}


@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients_are_those_of_the_function(name: str) -> None:
    """Against the plain function, TensorFlow's gradient of it, and differences; in float64."""
    function, plain, shapes = CASES[name]
    inputs = _drawn(*shapes)
    if function is cross_entropy:
        inputs[1] = tf.sigmoid(inputs[1])
    for compiled in (False, True):
        ours = tf.function(function, jit_compile=True) if compiled else function
        value, expected_value = (float(_weighed(f)(*inputs)) for f in (ours, plain))
        assert value == pytest.approx(expected_value, rel=1e-12)
        differentiable = inputs[:1] if function is cross_entropy else inputs
        found = _gradients(ours, inputs)
        expected = _gradients(plain, inputs)
        for which in range(len(differentiable)):
            np.testing.assert_allclose(found[which], expected[which], rtol=1e-11, atol=1e-12)
            differences = _by_differences(plain, inputs, which)
            np.testing.assert_allclose(found[which], differences, rtol=1e-6, atol=1e-6)


def test_a_unit_at_the_edge_has_no_slope() -> None:
    """At exactly zero, as TensorFlow has it: a unit that is dead from the start stays so."""
    edge = tf.constant([[-1.0, -0.0, 0.0, 2.0]])
    assert _gradients(relu, [edge])[0].numpy().tolist() == [[0, 0, 0, 4]]


def test_the_cross_entropy_is_finite_where_the_sigmoid_saturates() -> None:
    """From the logits; its slope too."""
    logits, x = tf.constant([[-200.0, 200.0, 200.0]]), tf.constant([[1.0, 1.0, 0.5]])
    assert cross_entropy(logits, x).numpy().tolist() == [300]
    assert _gradients(cross_entropy, [logits, x])[0].numpy().tolist() == [[-1, 0, 0.5]]


@pytest.mark.parametrize("d", [1, 64, 196, 784])
def test_the_cross_entropy_loses_no_digit_to_its_products(d: int) -> None:
    """In single precision within its rounding of the sum in double, for small and large logits."""
    generator = np.random.default_rng(d)
    logits = generator.standard_normal((200, d)) * generator.uniform(0.1, 12, (200, 1))
    logits, x = logits.astype(np.float32), generator.random((200, d), dtype=np.float32)
    in_double = logits.astype(np.float64)
    terms = np.maximum(in_double, 0) - in_double * x + np.log1p(np.exp(-np.abs(in_double)))
    compiled = tf.function(cross_entropy, jit_compile=True)
    for found in (cross_entropy(logits, x), compiled(logits, x)):
        np.testing.assert_allclose(found, terms.sum(-1), rtol=5e-7, atol=2e-7)
