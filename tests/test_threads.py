"""Thresholds are the same numbers however many threads the machine's libraries may use."""

import os
import subprocess
import sys

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from lossbench import data, theory
from lossbench.loss import likelihood

_ENLARGED_DIGITS = """
images = data.load("digits", 64).train.reshape(-1, 8, 8)
images = np.kron(images, np.ones((1, 3, 3), np.float32)).reshape(-1, 576)
"""
_PATCHES = 'images = data.load("patches", 256).train'
_MNIST = 'images = data.load("mnist", 784).train'
_PRINTED = """
import numpy as np
from lossbench import data, theory
from lossbench.loss import likelihood
{images}
for kind in ("bce", "mse"):
    print(*map(float, theory.thresholds(theory.moments(images), likelihood(kind))))
"""
_IMAGES = [
    pytest.param(_ENLARGED_DIGITS, id="digits-576"),
    pytest.param(_PATCHES, id="patches-256"),
]
if "LOSSBENCH_DATA_DIR" in os.environ:
    _IMAGES.append(pytest.param(_MNIST, id="mnist-784", marks=pytest.mark.slow))


def printed(images: str, n_threads: int) -> list[str]:
    """Return every threshold of images, found by a process of so many threads."""
    names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
    answer = subprocess.run(
        [sys.executable, "-c", _PRINTED.format(images=images)],
        env=os.environ | dict.fromkeys(names, str(n_threads)),
        capture_output=True,
        text=True,
        check=True,
    )
    return answer.stdout.split()


@pytest.mark.parametrize("images", _IMAGES)
def test_every_threshold_is_the_same_on_any_number_of_threads(images: str) -> None:
    """The smallest, too, which are rounding: nothing in a table hangs on the machine's load."""
    one, two, four = (printed(images, n_threads) for n_threads in (1, 2, 4))
    assert len(one) > 500
    assert [pair for pair in zip(one, two, strict=True) if pair[0] != pair[1]] == []
    assert [pair for pair in zip(one, four, strict=True) if pair[0] != pair[1]] == []


def test_the_number_of_threads_is_what_it_was_before() -> None:
    """Whatever is computed after the thresholds has all the threads that it had."""

    def counts() -> set[int]:
        return {int(pool["num_threads"]) for pool in threadpool_info()}

    images = data.load("digits", 64).train
    with threadpool_limits(limits=2, user_api="blas"):
        before = counts()
        thresholds = theory.thresholds(theory.moments(images), likelihood("bce"))
        assert counts() == before
    assert np.isfinite(thresholds).all()
