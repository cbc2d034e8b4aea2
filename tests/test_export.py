"""A trained run carried on: the exported Keras model is the run that the table tells of."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import lossbench
from test_cli import run as cli

from lossbench import data
from lossbench.store import Store

SMALL = (
    *("--d", "16", "--k", "2", "--hidden", "8,linear", "--epochs", "20", "--seeds", "1"),
    *("--loss", "blog,docs", "--beta", "0.03", "--reconstruction-loss", "bce,mse"),
    *("--noise-std", "0.8"),
)
# The model is used in a process that never heard of lossbench.
USE = """
import sys
import keras
import numpy as np
model = keras.models.load_model(sys.argv[1])
x = np.load(sys.argv[2])
zeros = np.zeros((len(x), 1), np.float32)
output = "logits" if sys.argv[3] == "bce" else "image"
told = model.evaluate(x, {output: x, "kl": zeros}, verbose=0, return_dict=True, batch_size=1024)
assert not any(name.startswith("lossbench") for name in sys.modules)
encoder, decoder = model.get_layer("encoder"), model.get_layer("decoder")
z_mean, z_log_var = encoder.predict(x, verbose=0)
noise = np.load(sys.argv[4])
R = 0
for draw in noise.swapaxes(0, 1):
    logits, image = decoder.predict(z_mean + 0.8 * np.exp(z_log_var / 2) * draw, verbose=0)
    if output == "logits":
        R += (np.logaddexp(0, logits) - x * logits).sum(1).mean() / noise.shape[1]
    else:
        R += ((x - image) ** 2).sum(1).mean() / noise.shape[1]
model.fit(x, {output: x, "kl": zeros}, epochs=1, verbose=0)
print("TOLD", told["loss"], told["kl_loss"], R)
"""


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the results of a sweep that keeps weights."""
    folder = tmp_path_factory.mktemp("kept") / "small"
    answer = lossbench("sweep", *SMALL, "--save-weights", "--out", str(folder), folder=Path.cwd())
    assert answer.returncode == 0, answer.stderr
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("loss", "kind", "hidden"),
    [("blog", "bce", "8"), ("docs", "mse", "8"), ("blog", "mse", "linear")],
)
def test_an_exported_model_evaluates_to_the_numbers_of_the_table(
    kept: Path, tmp_path: Path, loss: str, kind: str, hidden: str
) -> None:
    """R with the table's own noise to five digits; the compiled loss within its sampling noise."""
    selection = f"{kept}:loss={loss},reconstruction_loss={kind},hidden={hidden}"
    answer = lossbench("export", selection, "model.keras", folder=tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout == "model.keras\n"
    runs = Store(kept).runs()
    (row,) = runs[
        (runs["loss"] == loss) & (runs["reconstruction_loss"] == kind) & (runs["hidden"] == hidden)
    ].to_dict(orient="records")
    images = data.load("digits", 16).test
    generator = np.random.default_rng([0x105E, len(images), 2])  # as the evaluation draws it
    np.save(tmp_path / "noise.npy", generator.standard_normal((len(images), 8, 2), np.float32))
    np.save(tmp_path / "x.npy", images)
    use = (sys.executable, "-c", USE, "model.keras", "x.npy", kind, "noise.npy")
    used = subprocess.run(
        use,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    assert used.returncode == 0, used.stderr
    objective, _, reconstruction = map(float, used.stdout.rpartition("TOLD")[2].split())
    assert reconstruction == pytest.approx(row["reconstruction"], rel=1e-5)
    assert objective == pytest.approx(row["objective"], rel=0.03)


def test_weights_are_kept_without_pickle_and_belong_to_no_identity(
    kept: Path, tiny_results: Path
) -> None:
    """One file a run, of plain arrays; a run without them has the same id and the same record."""
    run_id = str(Store(kept).runs()["run_id"].iloc[0])
    weights = Store(kept).weights(run_id)
    assert {array.dtype for array in weights.values()} == {np.dtype(np.float32)}
    other = str(Store(tiny_results).runs()["run_id"].iloc[0])
    assert not Store(tiny_results).has_weights(other)


def test_the_same_command_again_trains_nothing(kept: Path) -> None:
    """A run that has its weights is done."""
    answer = lossbench("sweep", *SMALL, "--save-weights", "--out", str(kept), folder=Path.cwd())
    assert answer.returncode == 0
    assert "8 runs, 8 done" in answer.stderr
    assert "to train" not in answer.stderr


def test_an_export_that_cannot_be_is_told(
    capsys: pytest.CaptureFixture[str], tiny_results: Path, tmp_path: Path
) -> None:
    """No weights, several runs, another suffix, a file that is there already."""
    (tmp_path / "there.keras").touch()
    (run_id, *_) = Store(tiny_results).runs()["run_id"]
    for selection, name, told in (
        (f"{tiny_results}:{run_id}", "model.keras", "--save-weights"),
        (f"{tiny_results}:loss=blog", "model.keras", "2 runs are selected"),
        (f"{tiny_results}:{run_id}", "model.h5", ".keras"),
        (f"{tiny_results}:{run_id}", "there.keras", "exists"),
    ):
        code, _, err = cli(capsys, "export", selection, str(tmp_path / name))
        assert code == 2
        assert told in err
