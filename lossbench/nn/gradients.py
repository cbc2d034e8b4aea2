"""Operations of the model with gradients written out, where XLA compiles its own badly on a CPU.

The values are those of TensorFlow's operations, the gradients too, but for rounding. With a stack
of 8 members at d = 64, hidden = 64, k = 2 they shorten a step by a fifth. Each is a sum and
product of large arrays that XLA turns into vector instructions or a call of Eigen; what it makes
of TensorFlow's gradients is a branch for every element (``relu``), a loop that reads memory in
strides (``products``) and a second cross-entropy (``cross_entropy``).
"""

from collections.abc import Callable, Sequence

import tensorflow as tf


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
    bce = tf.nn.sigmoid_cross_entropy_with_logits(labels=x, logits=logits)

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, None]:
        return upstream[..., None] * (tf.sigmoid(logits) - x), None

    return tf.reduce_sum(bce, -1), gradient


def _transposed(matrices: tf.Tensor) -> tf.Tensor:
    return tf.transpose(matrices, (0, 2, 1))
