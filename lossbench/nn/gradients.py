"""Operations of the model, written out where XLA compiles TensorFlow's own badly on a CPU.

The values are those of TensorFlow's operations, the gradients too, but for rounding. With a stack
of 8 members at d = 64, hidden = 64, k = 2 they shorten a step by a fifth. Each is a sum and
product of large arrays that XLA turns into vector instructions or a call of Eigen; what it makes
of TensorFlow's gradients is a branch for every element (``relu``), a loop that reads memory in
strides (``products``) and a second cross-entropy (``cross_entropy``), whose values, written out,
take less than half of the time.
"""

from collections.abc import Callable, Sequence

import tensorflow as tf

_FACTORS = 8  # of a product in one logarithm


@tf.custom_gradient
def relu(x: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
    """Return the positive part of ``x``, whose slope is 1 where it is positive and 0 elsewhere."""
    y = tf.nn.relu(x)
    return y, lambda upstream: upstream * tf.sign(y)


@tf.custom_gradient
def products(
    x: tf.Tensor, *kernels: tf.Tensor
) -> tuple[Sequence[tf.Tensor], Callable[..., Sequence[tf.Tensor]]]:
    """Return ``x @ kernel`` for each of several narrow kernels, as one product.

    ``x (members, batch, fan_in)``, a kernel ``(members, fan_in, units)``, its product ``(members,
    batch, units)``.
    """
    units = [kernel.shape[-1] for kernel in kernels]

    def gradient(*upstream: tf.Tensor) -> Sequence[tf.Tensor]:
        along = tf.concat(upstream, -1)
        rows = tf.concat([_transposed(kernel) for kernel in kernels], 1)
        of_rows = tf.matmul(along, x, transpose_a=True)
        of_kernels = map(_transposed, tf.split(of_rows, units, 1))
        return tf.matmul(along, rows), *of_kernels

    return tf.split(tf.matmul(x, tf.concat(kernels, -1)), units, -1), gradient


@tf.custom_gradient
def cross_entropy(
    logits: tf.Tensor, x: tf.Tensor
) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor, None]]]:
    """Return the binary cross-entropy of ``x`` in [0, 1], summed over the last axis.

    From the logits: the sigmoid and its logarithm cancel where they would saturate. ``x`` is
    data and has no gradient.
    """

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, None]:
        return upstream[..., None] * (tf.sigmoid(logits) - x), None

    linear = tf.reduce_sum(tf.maximum(logits, 0.0) - logits * x, -1)
    return linear + _summed_log(1 + tf.exp(-tf.abs(logits))), gradient


def _summed_log(x: tf.Tensor) -> tf.Tensor:
    """Return the logarithm of ``x`` in [1, 2], summed over the last axis.

    As that of products: a logarithm costs more than all else in the cross-entropy.
    """
    missing = -x.shape[-1] % _FACTORS
    padding = [(0, 0)] * (len(x.shape) - 1) + [(0, missing)]
    padded = tf.pad(x, padding, constant_values=1.0)
    factors = tf.reshape(padded, (*x.shape[:-1], _FACTORS, padded.shape[-1] // _FACTORS))
    return tf.reduce_sum(tf.math.log(tf.reduce_prod(factors, -2)), -1)


def _transposed(matrices: tf.Tensor) -> tf.Tensor:
    return tf.transpose(matrices, (0, 2, 1))
