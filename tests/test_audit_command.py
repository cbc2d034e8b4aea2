"""``lossbench audit``: the user's code runs in a child process, and its failures are told."""

import json
import sys
import time
from pathlib import Path

import pytest
from conftest import lossbench
from test_cli import run as cli

AUDITED = Path(__file__).parent / "audited"
BROKEN = f"{AUDITED / 'broken.py'}"
SMALL = ("--d", "12", "--k", "3")


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Run one audit; return its exit code, stdout and stderr."""
    return cli(capsys, "audit", *arguments)


@pytest.fixture(autouse=True)
def _arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", sys.argv)


def test_prints_of_the_users_code_do_not_corrupt_the_json(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Its stdout is not ours; every number is there."""
    code, out, err = run(capsys, f"{BROKEN}:vae_loss", *SMALL, "--json")
    assert (code, err) == (0, "")
    facts = json.loads(out)
    assert (facts["a"]["value"], facts["beta_eff"]["formula"]) == (pytest.approx(1), "1")
    assert (facts["reconstruction"], facts["framework"]) == ("mse", "numpy")
    assert facts["match"]["name"] == "docs"
    assert facts["findings"] == []


def test_the_report_tells_terms_numbers_and_the_prediction(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Everything on one screen, with the thresholds of a data set at d."""
    target = (f"{BROKEN}:vae_loss", "--d", "16", "--k", "2")
    code, out, _ = run(capsys, *target, "--dataset", "digits")
    assert code == 0
    for words in ("mse, squared error", "inputs: sum", "beta_eff = b/a", "Your loss is docs"):
        assert words in out
    assert "On digits with mse (t_1 = 0.2" in out
    assert "collapses" in out
    assert "Predicted active units: 0 of 2" in out
    assert len(out.splitlines()) < 30
    _, out, _ = run(capsys, *target, "--threshold", "5")
    assert "On your data with mse (t_1 = 5) it does not collapse" in out


def test_the_gate_exits_with_4(capsys: pytest.CaptureFixture[str]) -> None:
    """And tells what it found and what to change; the report is printed all the same."""
    target = (f"{BROKEN}:weighted", *SMALL, "--set", "strength=2")
    assert run(capsys, *target, "--expect-beta-eff", "1")[0] == 0
    code, out, err = run(capsys, *target, "--expect-beta-eff", "4")
    assert code == 4
    assert "beta_eff" in out
    assert "expected: beta_eff = 4" in err
    assert "received: beta_eff = 1" in err


def test_unusual_names_are_given(capsys: pytest.CaptureFixture[str]) -> None:
    """Roles by ``--args``; a value by ``--set`` may be a formula in the sizes."""
    names = "x=image,x_hat=drawn,z_mean=middle,z_log_var=spread"
    code, out, _ = run(capsys, f"{BROKEN}:unusual", *SMALL, "--args", names)
    assert code == 0
    assert "closed form" in out
    settings = ("--set", "strength=k/d", "--json")
    code, out, _ = run(capsys, f"{BROKEN}:weighted", *SMALL, *settings)
    facts = json.loads(out)
    assert facts["a"]["value"] == pytest.approx(0.25)
    assert (facts["a"]["formula"], facts["b"]["formula"]) == ("strength", "strength")


WRAPPER = "def audited(x, x_hat, z_mean, z_log_var):"
REFUSED = {
    "no file": (("none.py:f",), ["none.py", "no such file"]),
    "no function": ((f"{BROKEN}:vae_los",), ["no vae_los", "did you mean 'vae_loss'?"]),
    "no colon": (("my_vae.py",), ["FILE.py:FUNCTION"]),
    "closed over": ((f"{BROKEN}:closed_over",), ["z_mean, z_log_var", "--args z_mean", WRAPPER]),
    "other arguments": ((f"{BROKEN}:unusual",), ["inputs, reconstruction", "unusual(image"]),
    "needs a value": ((f"{BROKEN}:weighted",), ["a value for strength", "--set strength=1"]),
    "raises": ((f"{BROKEN}:raising",), ["ValueError", "return x @ z_mean", WRAPPER]),
    "for MNIST alone": ((f"{BROKEN}:for_mnist",), ["works at d = 784", "hard-coded"]),
    "wrong shape": ((f"{BROKEN}:one_per_latent",), ["shape (3,)", "one value per sample", WRAPPER]),
    "text": ((f"{BROKEN}:text",), ["no number", "str", WRAPPER]),
    "nothing": ((f"{BROKEN}:nothing",), ["no number", "NoneType"]),
    "NaN": ((f"{BROKEN}:not_a_number",), ["not finite", "x between 0.2 and 0.8"]),
    "constant": ((f"{BROKEN}:constant",), ["neither the reconstruction nor the latents"]),
    "endless": (
        (f"{BROKEN}:endless", "--time-limit", "3"),
        ["did not return", "none after 3 s", "on and on", "--time-limit"],
    ),
    "crash": ((f"{BROKEN}:crashing",), ["exit code 7", "the last words"]),
    "abort": ((f"{BROKEN}:aborting",), ["SIGABRT"]),
    "exit": ((f"{BROKEN}:leaving",), ["SystemExit", "I leave"]),
    "class": ((f"{BROKEN}:Losses",), ["is a class", WRAPPER]),
    "number": ((f"{BROKEN}:number",), ["int"]),
    "no model": ((f"{BROKEN}:builds_nothing",), ["build a Keras model", "str"]),
    "unknown role": ((f"{BROKEN}:unusual", "--args", "xhat=drawn"), ["xhat", "'x_hat'"]),
    "unknown name": ((f"{BROKEN}:unusual", "--args", "x=imag"), ["no argument", "'image'"]),
    "set a stranger": ((f"{BROKEN}:vae_loss", "--set", "bta=1"), ["--set", "bta", "z_log_var"]),
    "no pair": ((f"{BROKEN}:vae_loss", "--set", "4"), ["name=value"]),
    "shape and d": ((f"{BROKEN}:vae_loss", "--shape", "3,5"), ["--shape", "d = 12", "15"]),
    "no latents": ((f"{BROKEN}:vae_loss", "--k", "0"), ["--k", "from 1"]),
}


@pytest.mark.parametrize(("arguments", "told"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_audited_is_told_on_one_screen(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], told: list[str]
) -> None:
    """Exit 2: what was tried, what came back, what to write instead; no traceback."""
    target, *rest = arguments
    code, out, err = run(capsys, target, *SMALL, *rest)
    assert code == 2, out
    assert out == ""
    for words in told:
        assert words in err
    assert "Traceback" not in err
    assert len(err.splitlines()) <= 14


def test_a_file_that_cannot_be_loaded_is_told(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A missing library and an error of syntax, with the line; training on import by the limit."""
    texts = {
        "import no_such_library\n": ["No module named 'no_such_library'", "line 1"],
        "def f(:\n": ["SyntaxError"],
        "while True: pass\n": ["ran too long", "__main__"],
        "import os\nos._exit(3)\n": ["exit code 3"],
    }
    for text, told in texts.items():
        file = tmp_path / "mine.py"
        file.write_text(text, encoding="utf-8")
        code, _, err = run(capsys, f"{file}:f", *SMALL, "--time-limit", "3")
        assert code == 2
        for words in told:
            assert words in err


def test_an_audit_leaves_nothing_behind(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """No cache beside the user's file."""
    file = tmp_path / "mine.py"
    file.write_text(Path(BROKEN).read_text(encoding="utf-8"), encoding="utf-8")
    assert run(capsys, f"{file}:vae_loss", *SMALL)[0] == 0
    assert [path.name for path in tmp_path.iterdir()] == ["mine.py"]


def test_a_loss_in_numpy_takes_little_time(tmp_path: Path) -> None:
    """At MNIST's sizes with 32 latents, the whole command, far below a loaded machine's limit."""
    started = time.monotonic()
    answer = lossbench("audit", f"{BROKEN}:vae_loss", "--d", "784", "--k", "32", folder=tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert time.monotonic() - started < 20


MODELS = f"{AUDITED / 'models.py'}"


@pytest.mark.slow
def test_a_model_with_add_loss_is_audited(capsys: pytest.CaptureFixture[str]) -> None:
    """The developer guide's: mean squared error plus a mean KL, 24.5 at k = 32."""
    code, out, err = run(capsys, f"{MODELS}:build_guide", "--d", "784", "--k", "32", "--json")
    assert code == 0, err
    facts = json.loads(out)
    assert facts["beta_eff"]["value"] == pytest.approx(24.5, rel=1e-3)
    assert facts["beta_eff"]["formula"] == "d/k"
    assert (facts["reconstruction"], facts["over_inputs"]) == ("mse", "mean")
    assert (facts["over_latents"], facts["over_batch"]) == ("mean", "mean")
    assert (facts["findings"], facts["stochastic"]) == ([], False)
    assert "keras-guide" in facts["match"]["also"]


@pytest.mark.slow
def test_a_model_with_a_train_step_is_audited(capsys: pytest.CaptureFixture[str]) -> None:
    """The convolutional example's: sums of both; its sizes are its own, so it is read at one."""
    code, out, err = run(
        capsys, f"{MODELS}:build_convolutional", "--d", "784", "--k", "2", "--json"
    )
    assert code == 0, err
    facts = json.loads(out)
    assert facts["beta_eff"]["value"] == pytest.approx(1, rel=1e-3)
    assert (facts["reconstruction"], facts["over_inputs"]) == ("bce", "sum")
    assert (facts["over_latents"], facts["over_batch"]) == ("sum", "mean")
    assert facts["fixed"] == ["d", "k"]
    assert facts["findings"] == []


@pytest.mark.slow
def test_a_keras_function_is_audited(capsys: pytest.CaptureFixture[str]) -> None:
    """The blog's loss as the blog writes it, from Keras' own functions."""
    code, out, err = run(capsys, f"{MODELS}:keras_blog", "--d", "784", "--k", "2", "--json")
    assert code == 0, err
    facts = json.loads(out)
    assert facts["beta_eff"]["value"] == pytest.approx(392, rel=1e-3)
    assert facts["match"]["name"] == "blog"
    assert facts["framework"] == "keras"
