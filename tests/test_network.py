"""One description of a network, and the models that follow from it."""

from typing import Any

import numpy as np
import pytest

from lossbench.loss import LIKELIHOODS
from lossbench.network import Activation, Dense, Network, dense
from lossbench.nn.model import StackedVAE, plain
from lossbench.nn.terms import term

KINDS = ("bce", "mse")  # those that Keras has a loss for


def test_layers_are_mirrored_and_stand_in_the_order_of_their_weights() -> None:
    """Encoder, z_mean, z_log_var, decoder: ReLU where hidden, nothing at heads and logits."""
    network = dense(16, 3, (8, 5), "sigmoid")
    assert network.layers == (
        Dense(16, 8, "relu"),
        Dense(8, 5, "relu"),
        Dense(5, 3),
        Dense(5, 3),
        Dense(3, 5, "relu"),
        Dense(5, 8, "relu"),
        Dense(8, 16),
    )
    assert (network.d, network.k) == (16, 3)


@pytest.mark.parametrize(
    ("hidden", "asked", "output", "is_linear"),
    [
        ((8,), "sigmoid", "sigmoid", False),
        ((8,), "values", "sigmoid", False),
        ((), "sigmoid", "sigmoid", False),
        ((), "values", "linear", True),
    ],
)
def test_only_a_network_that_bends_nowhere_is_linear(
    hidden: tuple[int, ...], asked: Any, output: Activation, is_linear: bool
) -> None:
    """A sigmoid at the end bends, too: the closed forms are those of the identity."""
    network = dense(16, 3, hidden, asked)
    assert (network.output, network.is_linear) == (output, is_linear)


@pytest.mark.parametrize(
    "network",
    [
        dense(7, 3, (6, 5), "sigmoid"),
        dense(7, 3, (), "sigmoid"),
        dense(7, 3, (), "values"),
    ],
)
def test_the_plain_model_answers_as_a_member_of_the_stack(network: Network) -> None:
    """Encoder and decoder, with the same weights, for each of two members."""
    generator = np.random.default_rng(0)
    stacked = StackedVAE(network, term(LIKELIHOODS["mse"]), 2, "float32")
    for variable in stacked.variables:
        variable.assign(generator.standard_normal(variable.shape))
    assert sum(v.shape[1] * v.shape[2] for v in stacked.variables) == network.n_parameters
    x = generator.random((2, 4, network.d), np.float32)
    z = generator.standard_normal((2, 4, network.k), np.float32)
    told = (*stacked.encode(x), stacked.decode(z), stacked.reconstruct(z))
    for member in range(2):
        weights = [np.asarray(variable)[member] for variable in stacked.variables]
        encoder, decoder = plain(network, weights)
        answers = (*encoder(x[member]), *decoder(z[member]))
        for expected, answer in zip(told, answers, strict=True):
            np.testing.assert_allclose(np.asarray(answer), expected[member], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_term_of_a_kind_is_d_times_the_loss_that_keras_has(kind: str) -> None:
    """What is exported is compiled with what was trained."""
    trained, generator = term(LIKELIHOODS[kind]), np.random.default_rng(0)
    assert trained.as_keras is not None
    decoded, x = generator.random((2, 5, 9), np.float32)
    summed = np.asarray(trained.summed(decoded, x))
    assert summed.shape == (5,)
    assert float(trained.as_keras()(x, decoded)) == pytest.approx(summed.mean() / 9, rel=1e-5)
