"""A network of the user's own: built from its file for each run, trained in a stack of one.

``build(shape, k)`` returns a Keras encoder, images to ``z_mean`` and ``z_log_var``, and a decoder,
``z`` to logits. It is built anew under a seed that follows from the run's; batch normalisation
and dropout do in training what they do in Keras, and their state is kept with the weights.
"""

import hashlib
import random
import sys
import types
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras.src.random import seed_generator
from numpy.typing import NDArray

from lossbench.errors import LossbenchError
from lossbench.network import Built
from lossbench.nn.batch_norm import in_one_operation
from lossbench.nn.learned import LearnedParameter
from lossbench.nn.model import VAE, encoded_input
from lossbench.nn.terms import Term

_SEED = 0x0E7
_TRIED = 7  # images of a batch that shapes are tried with: a size that nothing else has
_OTHER_SEED = 1
_SIGMOIDS = ("sigmoid", "Sigmoid")


class OwnVAE(VAE):
    """One VAE of a user's network, as a stack of one has it."""

    def __init__(self, network: Built, term: Term, learned: LearnedParameter | None) -> None:
        super().__init__(network, term, learned)
        self._built = network
        parts = self._encoder, self._decoder = made(network, seed=0)
        self.variables = variables_of(*parts)
        trained = {id(variable) for part in parts for variable in part.trainable_weights}
        self.trained_layers = [each for each in self.variables if id(each) in trained]

    def initial(self, seed: int) -> Sequence[NDArray[Any]]:
        """Return every variable as the network is built under a seed."""
        return [np.asarray(each) for each in variables_of(*made(self._built, seed))]

    def values(self) -> list[NDArray[Any]]:
        """Return every variable, of the encoder and then of the decoder."""
        return [np.asarray(variable)[None] for variable in self.variables]

    def encode(self, x: tf.Tensor, *, training: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        """Return ``z_mean`` and ``z_log_var``, each ``(1, batch, k)``."""
        images = tf.reshape(encoded_input(x, self.network)[0], (-1, *self._built.shape))
        with in_one_operation():
            z_mean, z_log_var = self._encoder(images, training=training)
        return z_mean[None], z_log_var[None]

    def decode(self, z: tf.Tensor, *, training: bool = False) -> tf.Tensor:
        """Return the logits, ``(1, batch, d)``."""
        with in_one_operation():
            made = self._decoder(z[0], training=training)
        return tf.reshape(made, (1, -1, self.network.d))


def variables_of(*models: keras.Model) -> list[keras.Variable]:
    """Return the variables of some models, each once, in their order."""
    found = {id(variable): variable for model in models for variable in model.variables}
    return list(found.values())


@contextmanager
def settings_kept() -> Iterator[None]:
    """Put back what a user's file may set for the whole process: every run has its own defaults."""
    policy, floatx = keras.config.dtype_policy(), keras.config.floatx()
    epsilon, eager = keras.config.epsilon(), tf.config.functions_run_eagerly()
    try:
        yield
    finally:
        keras.config.set_floatx(floatx)
        keras.config.set_dtype_policy(policy)
        keras.config.set_epsilon(epsilon)
        tf.config.run_functions_eagerly(eager)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Have everything that layers draw follow from the seed of a run.

    Keras draws its seeds from Python's generator, which every thread shares: those of a worker's
    own threads, who also draw, would shift them. It is given one of its own.
    """
    number = int(np.random.SeedSequence([_SEED, seed]).generate_state(1)[0] >> 1)
    keras.utils.set_random_seed(number)
    seed_generator.python_random = random.Random(number)  # noqa: S311 - weights, no secrets
    try:
        yield
    finally:
        seed_generator.python_random = random


def made(network: Built, seed: int) -> tuple[keras.Model, keras.Model]:
    """Return encoder and decoder, built under a seed; ``LossbenchError`` says what is wrong."""
    with settings_kept(), _seeded(seed):
        encoder, decoder = _pair(network, _function(network)(network.shape, network.k))
        _check_shapes(network, encoder, decoder)
    return encoder, decoder


def _pair(network: Built, built: Any) -> tuple[keras.Model, keras.Model]:
    """Return what was built, if it is an encoder and a decoder of z alone."""
    if not (isinstance(built, tuple | list) and len(built) == 2):
        raise LossbenchError(
            f"{network.name} does not return an encoder and a decoder",
            expected="a pair: encoder (images to z_mean, z_log_var), decoder (z to logits)",
            received=_told(built),
        )
    encoder, decoder = built
    for part, name in ((encoder, "encoder"), (decoder, "decoder")):
        if not isinstance(part, keras.Layer):
            raise LossbenchError(
                f"the {name} of {network.name} is no Keras model",
                expected="a keras.Model, or a layer",
                received=_told(part),
            )
    n_inputs = len(getattr(decoder, "inputs", None) or (None,))
    if n_inputs > 1:
        raise LossbenchError(
            f"the decoder of {network.name} sees more than z",
            expected="one input, z of shape (batch, k): nothing goes past the latents",
            received=f"{n_inputs} inputs",
        )
    return encoder, decoder


def _check_shapes(network: Built, encoder: keras.Model, decoder: keras.Model) -> None:
    """Call both once, which also builds what is built only then; refuse other shapes."""
    k = network.k
    heads = encoder(tf.zeros((_TRIED, *network.shape)), training=False)
    is_pair = isinstance(heads, tuple | list) and len(heads) == 2
    if not is_pair or any(tuple(head.shape) != (_TRIED, k) for head in heads):
        raise LossbenchError(
            f"the encoder of {network.name} gives other shapes",
            expected=f"[z_mean, z_log_var], each (batch, {k}); z is drawn here",
            received=_told(heads),
        )
    logits = decoder(tf.zeros((_TRIED, k)), training=False)
    if not hasattr(logits, "shape") or tf.size(logits) != _TRIED * network.d:
        raise LossbenchError(
            f"the decoder of {network.name} gives other shapes",
            expected=f"logits, (batch, {', '.join(map(str, network.shape))})",
            received=_told(logits),
        )


def _told(value: object) -> str:
    """Return what was given in place of something else, in a few words."""
    if isinstance(value, tuple | list):
        return f"{len(value)} of them: {', '.join(map(_told, value))}" if value else "nothing"
    if hasattr(value, "shape"):
        return f"shape ({', '.join(['batch', *map(str, tuple(value.shape)[1:])])})"
    return f"a {type(value).__name__}"


_MODULES: dict[str, types.ModuleType] = {}


def _function(network: Built) -> Any:
    """Return the function of a network's file, which is run once a process."""
    if network.sha256 not in _MODULES:
        if hashlib.sha256(network.source).hexdigest() != network.sha256:
            raise LossbenchError(
                f"the file of {network.name} is not there", where=str(network.file)
            )
        module = types.ModuleType(f"own_network_{network.sha256[:12]}")
        module.__file__ = str(network.file.absolute())
        sys.modules[module.__name__] = module  # where Keras and pickle look classes up
        folder = str(network.file.absolute().parent)
        if folder not in sys.path:
            sys.path.append(folder)  # after all others: none is in a library's place
        with settings_kept():
            exec(compile(network.source, module.__file__, "exec"), vars(module))  # noqa: S102 - the user's
        _MODULES[network.sha256] = module
    found: Any = _MODULES[network.sha256]
    for name in network.function.split("."):
        if not hasattr(found, name):
            raise LossbenchError(
                f"{network.file.name} has no {network.function}",
                expected="a function build(shape, k)",
                received=", ".join(n for n, x in vars(found).items() if callable(x)) or "none",
            )
        found = getattr(found, name)
    return found


def looked_at(network: Built) -> dict[str, object]:
    """Return what a network is: parameters, activations, why no threshold is told of it.

    It is built three times. ``LossbenchError`` if one seed gives two networks or two seeds give
    one, if a layer adds a loss of its own, or if a gradient does not come through.
    """
    models = made(network, seed=0)
    first, again, other = (
        [np.asarray(v) for v in variables_of(*each)]
        for each in (models, made(network, seed=0), made(network, seed=_OTHER_SEED))
    )
    if [v.shape for v in first] != [v.shape for v in other] or not _equal(first, again):
        raise LossbenchError(
            f"{network.name} builds another network each time, under one seed",
            expected="weights that follow from Keras' seed alone",
            received="two builds that differ",
            remedy="draw with keras.random or NumPy's global generator, or give no fixed names",
        )
    if _equal(first, other):
        raise LossbenchError(
            f"{network.name} builds the same weights under every seed, so seeds mean nothing",
            expected="initializers without a seed of their own",
            received="two seeds with equal weights",
        )
    encoder, decoder = models
    if losses := [name for name, m in (("encoder", encoder), ("decoder", decoder)) if m.losses]:
        raise LossbenchError(
            f"a layer of the {losses[0]} of {network.name} adds a loss of its own",
            expected="no regularizers and no add_loss: a*R + b*K is trained, and nothing else",
            received="losses in model.losses",
        )
    return {
        "n_parameters": sum(int(np.prod(v.shape)) for m in models for v in m.trainable_weights),
        "n_activations": network.d
        + _activations(encoder, network.shape)
        + _activations(decoder, (network.k,)),
        "untold": _untold(encoder),
        "ends_in": _last(decoder),
    }


def _equal(one: Sequence[NDArray[Any]], other: Sequence[NDArray[Any]]) -> bool:
    return len(one) == len(other) and all(map(np.array_equal, one, other))


def _activations(model: keras.Model, shape: tuple[int, ...]) -> int:
    """Return the numbers that a model makes of one example, kernels and the like left out."""

    def run(x: tf.Tensor) -> Any:
        with in_one_operation():
            return model(x, training=True)

    graph = (
        tf.function(run, autograph=False)
        .get_concrete_function(tf.TensorSpec((_TRIED, *shape), tf.float32))
        .graph
    )
    made = (
        tensor.shape
        for operation in graph.get_operations()
        if operation.type not in ("Identity", "Reshape", "Placeholder", "Cast")
        for tensor in operation.outputs
        if tensor.dtype.is_floating and tensor.shape.rank and tensor.shape.is_fully_defined()
    )
    return sum(shape.num_elements() for shape in made if shape[0] == _TRIED) // _TRIED


def _untold(encoder: keras.Model) -> str:
    """Return why thresholds do not hold, where the graph of the encoder shows it."""
    heads = getattr(encoder, "outputs", None) or ()
    for head in heads[:1]:
        operation = getattr(getattr(head, "_keras_history", None), "operation", None)
        if isinstance(operation, keras.layers.BatchNormalization):
            return (
                "batch normalisation on z_mean sets the variance of the latents, which the "
                "thresholds know nothing of"
            )
    return ""


def _last(decoder: keras.Model) -> str:
    """Return the name of the activation that the decoder ends in, where its graph shows it."""
    (head,) = (getattr(decoder, "outputs", None) or (None,))[:1]
    operation = getattr(getattr(head, "_keras_history", None), "operation", None)
    while isinstance(operation, keras.layers.Reshape | keras.layers.Flatten):
        (before,) = operation.input if isinstance(operation.input, list) else (operation.input,)
        operation = before._keras_history.operation
    activation = getattr(operation, "activation", None)
    name = getattr(activation, "__name__", "") or type(operation).__name__
    return "sigmoid" if name in _SIGMOIDS else ""


def plain(
    network: Built, weights: Sequence[NDArray[np.floating]]
) -> tuple[keras.Model, keras.Model]:
    """Return encoder (x -> z_mean, z_log_var) and decoder (z -> logits, image) of one model."""
    inner, outer = made(network, seed=0)
    for variable, weight in zip(variables_of(inner, outer), weights, strict=True):
        variable.assign(weight)
    x = keras.Input((network.d,), name="x")
    z_mean, z_log_var = inner(keras.layers.Reshape(network.shape)(x))
    encoder = keras.Model(x, [z_mean, z_log_var], name="encoder")
    z = keras.Input((network.k,), name="z")
    logits = keras.layers.Reshape((network.d,), name="logits")(outer(z))
    image = keras.layers.Activation(network.output, name="image")(logits)
    return encoder, keras.Model(z, [logits, image], name="decoder")
