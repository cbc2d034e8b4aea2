"""A large square matrix product in single precision on every core: what the machine can do."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from bench.size import Size

Matrix = Any  # what each library calls it
Product = Callable[[], object]


@contextmanager
def prepared(size: Size, library: str, n: int) -> Iterator[tuple[Callable[[int], None], float]]:
    """Give what multiplies two ``(n, n)`` matrices so many times, with a library named here.

    And how many epochs of one model take as many operations as one such product.
    """
    left, right = np.random.default_rng(0).random((2, n, n), dtype=np.float32)
    multiply_once = _PRODUCTS[library](left, right)

    def multiply(n_products: int) -> None:
        for _ in range(n_products):
            multiply_once()

    yield multiply, 2 * n**3 / size.operations_per_epoch


def _of_numpy(left: Matrix, right: Matrix) -> Product:
    product = np.empty_like(left)
    return lambda: np.matmul(left, right, out=product)


def _of_torch(left: Matrix, right: Matrix) -> Product:
    import torch  # noqa: PLC0415 - each process loads one library

    left, right, product = map(torch.from_numpy, (left, right, np.empty_like(left)))
    return lambda: torch.matmul(left, right, out=product)


def _of_tensorflow(left: Matrix, right: Matrix) -> Product:
    import tensorflow as tf  # noqa: PLC0415 - each process loads one library

    left, right = map(tf.constant, (left, right))

    def multiply() -> None:
        tf.matmul(left, right)[0, 0].numpy()  # waits for the product

    return multiply


_PRODUCTS = {"numpy": _of_numpy, "torch": _of_torch, "tensorflow": _of_tensorflow}
