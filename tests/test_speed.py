"""The benchmark's own arithmetic: operations, ratios, shares, and where a sweep's time goes."""

import numpy as np
import pytest
from numpy.typing import NDArray

from bench import table
from bench.size import SIZES, operations_per_image
from lossbench.network import dense
from memory import Sample, moments
from overhead import split

Matrix = NDArray[np.float64]


class CountedProducts:
    """Matrix products that count their additions and multiplications."""

    def __init__(self) -> None:
        self.n_operations = 0

    def __call__(self, left: Matrix, right: Matrix) -> Matrix:
        """Return the product; each of its elements takes as many of both as are summed."""
        rows, inner, columns = *left.shape, right.shape[1]
        self.n_operations += 2 * rows * inner * columns
        return left @ right


@pytest.mark.parametrize(("d", "hidden", "k", "n_images"), [(5, 3, 2, 1), (7, 4, 3, 6)])
def test_operations_are_those_of_a_step_by_hand(d: int, hidden: int, k: int, n_images: int) -> None:
    """The products of a step that is written out, one by one, add up to the formula."""
    draw = np.random.default_rng(0).standard_normal
    x, noise = draw((n_images, d)), draw((n_images, k))
    encoder, mean, log_var = draw((d, hidden)), draw((hidden, k)), draw((hidden, k))
    decoder, output = draw((k, hidden)), draw((hidden, d))
    product = CountedProducts()

    h = product(x, encoder)
    z_mean, z_log_var = product(h, mean), product(h, log_var)
    z = z_mean + np.exp(z_log_var / 2) * noise
    decoded = product(z, decoder)
    logits = product(decoded, output)

    of_logits = logits - x
    gradients = [product(decoded.T, of_logits)]
    of_decoded = product(of_logits, output.T)
    gradients.append(product(z.T, of_decoded))
    of_z = product(of_decoded, decoder.T)
    gradients += [product(h.T, of_z), product(h.T, of_z)]
    of_h = product(of_z, mean.T) + product(of_z, log_var.T)
    gradients.append(product(x.T, of_h))

    shapes = [weight.shape for weight in (output, decoder, mean, log_var, encoder)]
    assert [gradient.shape for gradient in gradients] == shapes
    network = dense(d, k, (hidden,), "sigmoid")
    assert product.n_operations == n_images * operations_per_image(network)


def made_rows(size_number: int, keras: float) -> list[table.Row]:
    """Return the rows of made milliseconds: lossbench 2, its products 0.5."""
    milliseconds = {table.LOSSBENCH: 2.0, ("keras-fit", "usual"): keras, table.MATMUL: 0.5}
    return table.rows(SIZES[size_number], milliseconds, dict.fromkeys(milliseconds, 1.0))


def test_ratio_and_share_follow_from_milliseconds() -> None:
    """Who takes 40 ms where lossbench takes 2 and its products 0.5 has 20 times and 1/80."""
    lossbench, keras, matmul = made_rows(0, keras=40.0)
    assert (keras["times_lossbench"], keras["share_of_matmul_rate"]) == ("20", "0.0125")
    assert (lossbench["times_lossbench"], lossbench["share_of_matmul_rate"]) == ("1", "0.25")
    assert (matmul["share_of_matmul_rate"], matmul["n_models"]) == ("1", "")
    operations = 1408 * operations_per_image(SIZES[0].network)
    assert float(matmul["gflop_per_second"]) == pytest.approx(operations / 0.5e-3 / 1e9, rel=1e-3)


def test_a_part_replaces_its_own_rows_alone() -> None:
    """Another size stays, the same size is replaced, and the sizes keep their order."""
    before = table.parsed(table.text_of([*made_rows(0, 40.0), *made_rows(2, 60.0)]))
    merged = table.merged(before, made_rows(0, 80.0))
    assert merged == [*made_rows(0, 80.0), *made_rows(2, 60.0)]
    assert table.merged(before, made_rows(1, 9.0)) == [
        *made_rows(0, 40.0),
        *made_rows(1, 9.0),
        *made_rows(2, 60.0),
    ]


def test_the_parts_of_a_sweep_add_up() -> None:
    """Two workers, one stack each: every part but what happens meanwhile is in the whole."""
    calls = {
        **{"epochs": [3.0, 1.0, 1.0], "evaluation": [2.0, 0.5, 0.5], "pictures": [0.25]},
        **{"batches": [0.1] * 3, "weights": [0.2], "program": [0.5]},
    }
    first = calls | {"began": [10.0], "ended": [20.0]}
    second = calls | {"program": [], "began": [11.0], "ended": [21.0]}
    noted = {"started": [4.0], "workers started": [6.0], "ended": [24.0]}
    noted |= {"saving": [0.5, 0.5], "rebuilding": [1.0]}
    *parts, whole = split(noted, [first, second], n_workers=2)
    assert whole[2] == 20.0
    in_turn = [seconds for _, process, seconds in parts if "meanwhile" not in process]
    assert sum(in_turn) == pytest.approx(20.0)
    seconds = {part: time for part, _, time in parts}
    assert seconds["compilation"] == pytest.approx((0.5 + 2.0 + 1.5) / 2)
    assert seconds["training epochs"] == pytest.approx((3.0 + 5.0) / 2)
    assert min(in_turn) >= 0


def test_moments_are_those_of_the_records() -> None:
    """The middle is where half of the runs are finished; the tables come after the workers."""
    samples = [Sample(n, 100.0 + n, (300.0 + n, 1.0)) for n in (0, 1, 4, 6, 10)]
    named = moments([*samples, Sample(10, 150.0, ())], 10)
    assert [named[name].n_finished for name in ("beginning", "middle", "end")] == [1, 6, 10]
    assert named["tables"].parent == named["peak"].parent == 150.0
    assert max(named["peak"].workers) == 310.0
