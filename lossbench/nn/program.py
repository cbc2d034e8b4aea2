"""The compiled program of one shape: whole epochs, and the evaluation of a chunk of images.

Coefficients, batches, noise, learning rate and weights are inputs, never constants, so that
every stack of a shape runs the same compiled program.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops
from numpy.typing import NDArray

from lossbench.loss import KLForm, Likelihood, Objective
from lossbench.network import Architecture
from lossbench.nn.learned import LearnedSigma, learned_parameter
from lossbench.nn.models import stacked
from lossbench.nn.terms import kl, kl_parts, sample, sampled_kl_parts, term
from lossbench.optimizer import OPTIMIZERS

EVALUATION_SAMPLES = 8

# Images, which of them count (the last chunk is padded), and their noise.
Chunk = tuple[tf.Tensor, tf.Tensor, tf.Tensor]


# A loss of one batch: its x, logits, image, z_mean, z_log_var and z, each (batch, ...).
Loss = Callable[[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]


@dataclass(frozen=True)
class Shape:
    """Everything that is compiled in: two stacks of one shape share one program.

    Data, learning rate and epochs are inputs: stacks that differ in them (``Stack.shape``) share
    one, too. ``n_steps`` is the most that one call takes, ``n_chunk`` the images that one call of
    the evaluation takes; ``is_scheduled`` is whether the weight on K differs from step to step, and
    ``kl_form`` what it is a weight on: its floors and capacities are inputs.
    """

    network: Architecture
    likelihood: Likelihood
    noise_std: float
    batch_size: int
    optimizer: str
    epsilon: float
    width: int
    n_steps: int
    n_chunk: int
    is_scheduled: bool = False
    kl_form: KLForm = KLForm()  # noqa: RUF009 - frozen, too
    dtype: str = "float32"


@dataclass(frozen=True)
class Sums:
    """Sums over images for every member, in float64.

    ``reconstruction`` (mean over noise samples), ``kl`` as the code writes it and
    ``kl_sampled`` of the distribution that is really sampled: ``(members,)``; of ``z_mean``,
    its square and the sampled variance: ``(members, k)``. ``of_form`` is of what the form of the KL
    term averages over images, ``(members, m)``; it is None where the form has no bound.
    """

    reconstruction: NDArray[np.float64]
    kl: NDArray[np.float64]
    kl_sampled: NDArray[np.float64]
    z_mean: NDArray[np.float64]
    z_mean_squared: NDArray[np.float64]
    variance: NDArray[np.float64]
    of_form: NDArray[np.float64] | None = None


def optimizer(name: str, learning_rate: float, epsilon: float) -> keras.optimizers.Optimizer:
    """Return a Keras optimizer by the name that a run gives it."""
    known = OPTIMIZERS[name]
    options = {"epsilon": epsilon} if known.has_epsilon else {}
    made: keras.optimizers.Optimizer = getattr(keras.optimizers, known.title)
    return made(learning_rate, **options)


class Program:
    """A stack of VAEs with its optimizer, compiled once and refilled for every stack.

    A ``loss`` of the user's own, in a stack of one, is trained in place of ``a*R + b*K``.
    """

    def __init__(self, shape: Shape, loss: Loss | None = None) -> None:
        self.shape = shape
        self._loss = loss
        kind, width, dtype = shape.likelihood, shape.width, shape.dtype
        learned = learned_parameter(kind, width, shape.network.d, dtype)
        self.model = stacked(shape.network, term(kind), width, dtype, learned)
        self._variables = self.model.variables
        self._trained = self.model.trained
        self._optimizer = optimizer(shape.optimizer, 1.0, shape.epsilon)
        self._optimizer.build(self._trained)
        self._initial = [np.asarray(variable).copy() for variable in self._optimizer.variables]
        self._steps = self.compiled(self._take_steps)
        self._chunk = self.compiled(self._evaluate_chunk)
        self._a = self._b = tf.zeros(shape.width, shape.dtype)

    def compiled(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function of tensors as one program: by XLA, but for convolutions.

        A loss or a network of the user's own may have operations that XLA does not know.

        On one thread of a CPU they are faster without it, and ready at once: a step of keras.io's
        network takes 55 ms at 28 x 28, batch 128; one of ``conv`` with 8 and 16 filters at 8 x 8
        1.8 ms against 2.0, or 1.5 against 1.9 for each of 4 members, and XLA compiles those for 11
        seconds. A loop over the members is all that stacking them needs.
        """
        by_xla = not self.shape.network.has_convolutions and self._loss is None
        made: Callable[..., Any] = tf.function(function, jit_compile=by_xla, autograph=False)
        return made

    def refill(self, seeds: list[int], a: list[float], b: list[float]) -> None:
        """Set every member's first weights and coefficients, and the optimizer as it was built."""
        members = [self.model.initial(seed) for seed in seeds]
        for variable, *values in zip(self._variables, *members, strict=True):
            variable.assign(np.stack(values).reshape(variable.shape))
        for variable, initial in zip(self._optimizer.variables, self._initial, strict=True):
            variable.assign(initial)
        self._a = tf.constant(a, self.shape.dtype)
        self._b = tf.constant(b, self.shape.dtype)

    def weights(self) -> list[NDArray[np.floating]]:
        """Return the value of every variable, each with its members on the first axis."""
        return self.model.values()

    def train(
        self,
        images: tf.Tensor,
        batches: NDArray[Any],
        noise: NDArray[Any],
        learning_rates: NDArray[Any],
        kl_weights: NDArray[Any] | None = None,
        bounds: NDArray[Any] | None = None,
    ) -> None:
        """Take ``steps`` steps, at most as many as the shape allows.

        ``images (n_train, d)``, ``batches (steps, members, batch)`` of image indices, ``noise
        (steps, members, batch, k)`` standard normal, ``learning_rates (steps,)``, ``kl_weights
        (steps, members)`` the factor w on b, where the shape is scheduled; ``bounds (steps,
        members)`` the floor or the capacity, where its form has one.
        """
        n_steps = len(learning_rates)

        def padded(part: NDArray[Any]) -> NDArray[Any]:
            return np.pad(part, [(0, self.shape.n_steps - n_steps), *[(0, 0)] * (part.ndim - 1)])

        batches, noise, learning_rates = map(padded, (batches, noise, learning_rates))
        b = self._b
        if kl_weights is not None:
            b = b * tf.constant(padded(kl_weights), self.shape.dtype)
        self._steps(
            images,
            tf.constant(batches),
            tf.constant(noise, self.shape.dtype),
            tf.constant(learning_rates, self.shape.dtype),
            tf.constant(n_steps),
            self._a,
            b,
            None if bounds is None else tf.constant(padded(bounds), self.shape.dtype),
        )

    def _take_steps(self, images, batches, noise, learning_rates, n_steps, a, b, bounds):  # type: ignore[no-untyped-def]
        def objective(x, z_mean, z_log_var, z, index):  # type: ignore[no-untyped-def]
            reconstruction = tf.reduce_mean(self.model.reconstruction(x, z, training=True), axis=-1)
            bound = None if bounds is None else bounds[index]
            divergence = self._divergence(z_mean, z_log_var, z, noise[index], bound)
            # Summed, never averaged, over members: each gets its own gradient, unscaled.
            found = Objective(a, b[index] if self.shape.is_scheduled else b)
            return tf.reduce_sum(found.value(reconstruction, divergence))

        def step(index):  # type: ignore[no-untyped-def]
            x = tf.gather(images, batches[index])
            with tf.GradientTape() as tape:
                z_mean, z_log_var = self.model.encode(x, training=True)
                z = sample(z_mean, z_log_var, noise[index], self.shape.noise_std)
                if self._loss is None:
                    total = objective(x, z_mean, z_log_var, z, index)
                else:
                    total = self._of_one(x, z_mean, z_log_var, z)
            values = [variable.value for variable in self._trained]
            self._optimizer.learning_rate = learning_rates[index]
            self._optimizer.apply(tape.gradient(total, values), self._trained)
            return index + 1

        tf.while_loop(lambda index: index < n_steps, step, [tf.constant(0)], parallel_iterations=1)

    def _of_one(self, x, z_mean, z_log_var, z):  # type: ignore[no-untyped-def]
        """Return the loss of the user's own, of the only member."""
        logits = self.model.decode(z, training=True)
        of_all = (x, logits, self.model.image(logits), z_mean, z_log_var, z)
        return self._loss(*(each[0] for each in of_all))  # type: ignore[misc]

    def _divergence(self, z_mean, z_log_var, z, noise, bound):  # type: ignore[no-untyped-def]
        """Return F of every member: the batch's KL term, K where nothing else is asked for."""
        form = self.shape.kl_form
        if form.is_plain:
            return tf.reduce_mean(kl(z_mean, z_log_var), axis=-1)
        is_closed = form.estimator == "closed"
        parts = kl_parts(z_mean, z_log_var) if is_closed else sampled_kl_parts(z, z_log_var, noise)
        return form.value(parts, bound, ops)

    def chunks(self, images: NDArray[Any], noise: NDArray[Any]) -> Iterator[Chunk]:
        """Yield ``images (n, d)`` and ``noise (n, EVALUATION_SAMPLES, k)`` ready to evaluate on."""
        n_chunk = self.shape.n_chunk
        for start in range(0, len(images), n_chunk):
            chunk = images[start : start + n_chunk]
            missing = n_chunk - len(chunk)
            chunk_noise = np.pad(noise[start : start + n_chunk], ((0, missing), (0, 0), (0, 0)))
            yield (
                tf.constant(np.pad(chunk, ((0, missing), (0, 0))), self.shape.dtype),
                tf.constant(np.arange(n_chunk) < len(chunk)),
                tf.constant(chunk_noise.swapaxes(0, 1), self.shape.dtype),
            )

    def evaluate(
        self, chunks: Iterable[Chunk], n_samples: int, bounds: NDArray[Any] | None = None
    ) -> Sums:
        """Return the sums over all images of ``chunks``, each with so many samples of noise.

        ``bounds (members,)`` are the floors, where the shape's form has one. ``ValueError`` if
        there is no chunk.
        """
        bound = None if bounds is None else tf.constant(bounds, self.shape.dtype)
        parts = (self._chunk(*chunk, tf.constant(n_samples), bound) for chunk in chunks)
        sums = [[np.asarray(part, np.float64) for part in of_chunk] for of_chunk in parts]
        if not sums:
            raise ValueError("there are no images to evaluate on")
        return Sums(*(np.sum(part, axis=0) for part in zip(*sums, strict=True)))

    def _evaluate_chunk(self, x, is_image, noise, n_samples, bound):  # type: ignore[no-untyped-def]
        shape = self.shape
        x = tf.broadcast_to(x, (shape.width, *x.shape))
        z_mean, z_log_var = self.model.encode(x)

        def draw(index, reconstruction):  # type: ignore[no-untyped-def]
            z = sample(z_mean, z_log_var, noise[index], shape.noise_std)
            return index + 1, reconstruction + self.model.reconstruction(x, z)

        zeros = tf.zeros((shape.width, shape.n_chunk), shape.dtype)
        _, reconstruction = tf.while_loop(
            lambda index, _: index < n_samples, draw, [tf.constant(0), zeros]
        )
        sampled_log_var = z_log_var + 2 * math.log(shape.noise_std)

        def over_images(values):  # type: ignore[no-untyped-def]
            mask = is_image if len(values.shape) == 2 else is_image[:, None]
            values = tf.where(mask, tf.cast(values, tf.float64), 0.0)
            return tf.reduce_sum(values, axis=1)

        sums = (
            over_images(reconstruction) / tf.cast(n_samples, tf.float64),
            over_images(kl(z_mean, z_log_var)),
            over_images(kl(z_mean, sampled_log_var)),
            over_images(z_mean),
            over_images(tf.square(z_mean)),
            over_images(tf.exp(sampled_log_var)),
        )
        if not shape.kl_form.is_bounded:
            return sums
        parts = kl_parts(z_mean, z_log_var)
        return *sums, over_images(shape.kl_form.of_examples(parts, bound, ops))

    def fit_sigma(self, train: Iterable[Chunk], n_images: int, n_samples: int) -> None:
        """Set a sigma that is computed, not trained, to the best one for the training split."""
        sigma = self.model.learned
        if not (isinstance(sigma, LearnedSigma) and sigma.is_fitted):
            return
        d = self.shape.network.d
        sigma.set(np.ones(1))
        one = sigma.numbers()  # 1, but where the floor is above it
        above = self.evaluate(train, n_samples).reconstruction / n_images
        above -= d * (0.5 * math.log(2 * math.pi) + np.log(one))
        sigma.set(one[:, None] * np.sqrt(2 * above / d)[:, None])

    def latent_means(self, images: NDArray[Any]) -> NDArray[np.float32]:
        """Return ``z_mean`` of ``images (n, d)``: ``(members, n, k)``."""
        x = tf.broadcast_to(
            tf.constant(images, self.shape.dtype), (self.shape.width, *images.shape)
        )
        return np.asarray(self.model.encode(x)[0], np.float32)

    def reconstructions(self, z: NDArray[Any]) -> NDArray[np.float32]:
        """Return the images decoded from ``z (members, n, k)``: ``(members, n, d)``."""
        return np.asarray(self.model.reconstruct(tf.constant(z, self.shape.dtype)), np.float32)
