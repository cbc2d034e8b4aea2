"""What lies beside the experiments for people to copy: it runs, and says what it shows."""

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

EXPERIMENTS = Path(__file__).parent.parent / "experiments"
TOLD = {
    "seed_question": ["blog at beta 1 is docs at beta 32", "Adam does not feel the"],
    "measure_pytorch": ["latents carry", "Collapsed: none of 8 latents is active"],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", TOLD)
@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::DeprecationWarning")  # Jupyter's
def test_a_notebook_runs(name: str, tmp_path: Path) -> None:
    """Every cell, from a folder of its own; each shows one thing, and the words are there."""
    notebook = nbformat.read(EXPERIMENTS / f"{name}.ipynb", as_version=4)
    NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    ).execute()
    shown = [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]
    told = [
        output.get("text") or output.data.get("text/html", "")
        for outputs in shown
        for output in outputs
    ]
    assert all(any(words in text for text in told) for words in TOLD[name])
    assert all(len(outputs) <= 2 for outputs in shown)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_test_of_a_loss_passes_and_can_fail(tmp_path: Path) -> None:
    """A copy of it beside a model: green as it stands, red with a mean over the pixels."""
    text = (EXPERIMENTS / "test_my_loss.py").read_text("utf-8")
    wrong = text.replace("((x - x_hat) ** 2).sum(axis=1)", "((x - x_hat) ** 2).mean(axis=1)")
    assert wrong != text
    for written, code in ((text, 0), (wrong, 1)):
        copy = tmp_path / "test_mine.py"
        copy.write_text(written, encoding="utf-8")
        answer = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(copy)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert answer.returncode == code, answer.stdout
