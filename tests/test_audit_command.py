"""``lossbench audit``: the user's code runs in a child process, and its failures are told."""

import json
import math
import re
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import lossbench
from test_cli import run as cli
from test_terminal import on_terminal

from lossbench.auditing import Coefficient, Target, audit, check, read_options
from lossbench.auditing.child import Child
from lossbench.auditing.signature import ROLES
from lossbench.errors import GateTrippedError

AUDITED = Path(__file__).parent / "audited"
BROKEN = f"{AUDITED / 'broken.py'}"
SMALL = ("--d", "12", "--k", "3")


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Run one audit; return its exit code, stdout and stderr."""
    return cli(capsys, "audit", *arguments)


def plain(shown: str) -> str:
    """Return what a terminal shows without its colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", shown)


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


@pytest.mark.usefixtures("in_this_process")
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


@pytest.mark.usefixtures("in_this_process")
def test_the_gate_exits_with_4(capsys: pytest.CaptureFixture[str]) -> None:
    """And tells what it found and what to change; the report is printed all the same."""
    target = (f"{BROKEN}:weighted", *SMALL, "--set", "strength=2")
    assert run(capsys, *target, "--expect-beta-eff", "1")[0] == 0
    code, out, err = run(capsys, *target, "--expect-beta-eff", "4")
    assert code == 4
    assert "beta_eff" in out
    assert "expected: beta_eff = 4" in err
    assert "received: beta_eff = 1" in err


@pytest.mark.usefixtures("in_this_process")
def test_a_gate_trips_on_what_changes_the_answer(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Whatever the number: a floor, no number at all; ``--strict`` on everything that was found."""
    file = tmp_path / "mine.py"
    file.write_text(MINE, encoding="utf-8")
    gate = (*SMALL, "--expect-beta-eff", "1")
    code, out, err = run(capsys, f"{file}:floored", *gate)
    assert code == 4
    assert "floor of 0.5 nats" in out
    assert "The KL has a floor (free bits) of 0.5 nats" in err
    code, _, err = run(capsys, f"{file}:optimal", *gate)
    assert code == 4
    assert "beta_eff = 2*mse, which is no number" in err
    code, _, err = run(capsys, f"{file}:cubes", *gate)
    assert code == 4
    assert "beta_eff is not known" in err
    assert run(capsys, f"{file}:idle", *gate)[0] == 0
    code, _, err = run(capsys, f"{file}:idle", *gate, "--strict")
    assert code == 4
    assert "has no effect on the loss" in err
    code, _, err = run(capsys, f"{file}:idle", *SMALL, "--strict")
    assert code == 4
    assert "expected: no finding" in err
    assert run(capsys, f"{BROKEN}:vae_loss", *SMALL, "--strict")[0] == 0


@pytest.mark.usefixtures("in_this_process")
def test_a_gate_trips_where_noise_hides_the_answer() -> None:
    """A beta_eff within its noise of what is expected is met; one that is noise alone is none."""
    where = Target(Path(BROKEN), "vae_loss")
    found = audit(where, read_options(where, 12, 3, 8, 100, None, None, (), (), None, 60.0))
    near = replace(found, beta_eff=Coefficient(1.02, 0.01, None))
    check(near, 1.0, strict=False)
    for value, error in ((1.02, 0.001), (1.02, 0.5), (math.nan, 0.0)):
        off = replace(found, beta_eff=Coefficient(value, error, None))
        with pytest.raises(GateTrippedError):
            check(off, 1.0, strict=False)


MINE = """
import numpy as np

def error(x, x_hat):
    return np.sum((x - x_hat) ** 2, axis=1).mean()

def kls(m, v):
    return 0.5 * (m**2 + np.exp(v) - 1 - v)

def floored(x, x_hat, z_mean, z_log_var):
    return error(x, x_hat) + np.maximum(kls(z_mean, z_log_var), 0.5).sum(1).mean()

def optimal(x, x_hat, z_mean, z_log_var):
    sigma = np.log(np.mean((x - x_hat) ** 2))
    return x.shape[1] / 2 * sigma + kls(z_mean, z_log_var).sum(1).mean()

def cubes(x, x_hat, z_mean, z_log_var):
    return np.sum(np.abs(x - x_hat) ** 3, 1).mean() + kls(z_mean, z_log_var).sum(1).mean()

def idle(x, x_hat, z_mean, z_log_var, gamma=3.0):
    return error(x, x_hat) + kls(z_mean, z_log_var).sum(1).mean()

def three(x, x_hat, z_mean, z_log_var):
    return error(x, x_hat), kls(z_mean, z_log_var).sum(1).mean(), 0.5

def sized(x, x_hat, z_mean, z_log_var, k):
    return error(x, x_hat) + kls(z_mean, z_log_var).sum(1).mean() / k

def unlike(x, x_hat, z_mean, z_log_var, distance):
    return distance(x, x_hat) + kls(z_mean, z_log_var).sum(1).mean()

def spatial(x, x_hat, z_mean, z_log_var):
    return error(x, x_hat) + kls(z_mean, z_log_var).sum((1, 2, 3)).mean()

class Loss:
    weight = 3.0

    def __init__(self, weights=()):
        if weights:
            self.weight = sum(weights)

    def of(self, x, x_hat, z_mean, z_log_var):
        return error(x, x_hat) + self.weight * kls(z_mean, z_log_var).sum(1).mean()
"""


@pytest.mark.usefixtures("in_this_process")
def test_what_was_audited_is_printed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The total of several outputs, or the one that is asked for; how arguments were filled."""
    file = tmp_path / "mine.py"
    file.write_text(MINE, encoding="utf-8")
    _, out, _ = run(capsys, f"{file}:three", *SMALL)
    assert "total = out[0] + out[2]*out[1]" in out
    code, out, _ = run(capsys, f"{file}:three", *SMALL, "--total", "out[0] + 4*out[1]", "--json")
    facts = json.loads(out)
    assert (code, facts["total"]) == (0, "out[0] + 4 * out[1]")
    assert facts["beta_eff"]["value"] == pytest.approx(4)
    _, out, _ = run(capsys, f"{file}:sized", *SMALL)
    assert "k := 3, the latent size" in out
    assert "total = out\n" in out


@pytest.mark.usefixtures("in_this_process")
def test_a_setting_may_be_many_things(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A name of the file, an attribute by its dotted name, a formula that follows the sizes."""
    file = tmp_path / "mine.py"
    file.write_text(MINE, encoding="utf-8")
    code, out, err = run(capsys, f"{file}:unlike", *SMALL, "--set", "distance=error", "--json")
    assert code == 0, err
    assert json.loads(out)["reconstruction"] == "mse"
    code, out, err = run(capsys, f"{file}:Loss.of", *SMALL, "--set", "self.weight=5", "--json")
    assert code == 0, err
    assert json.loads(out)["beta_eff"]["value"] == pytest.approx(5)
    code, out, err = run(capsys, f"{file}:Loss.of", *SMALL, "--set", "weights=[3,4]", "--json")
    assert code == 0, err
    assert json.loads(out)["beta_eff"]["value"] == pytest.approx(7)
    code, out, _ = run(capsys, f"{file}:sized", *SMALL, "--set", "k=2*B", "--json")
    assert json.loads(out)["b"]["formula"] == "1/(2*B)"


@pytest.mark.usefixtures("in_this_process")
def test_shapes_make_the_sizes_known(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Of images and of latents."""
    file = tmp_path / "mine.py"
    file.write_text(MINE.replace("axis=1)", "axis=(1, 2))"), encoding="utf-8")
    shapes = ("--shape", "3,4", "--latent-shape", "2,3,1")
    code, out, err = run(capsys, f"{file}:spatial", *shapes, "--json")
    assert code == 0, err
    facts = json.loads(out)
    assert (facts["d"], facts["k"], facts["beta_eff"]["value"]) == (12, 6, pytest.approx(1))


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["a=4,b=0.5"], {"a": 4, "b": 0.5}),
        (["a=true", "b=None"], {"a": True, "b": None}),
        (["a=1/4"], {"a": 0.25}),
        (["a=28*28"], {"a": 784}),
        (["a=B/N"], {"a": "=B/N"}),
        (["a=2*k"], {"a": "=2*k"}),
        (["a=linear,b=(1,[2,3]),c=4"], {"a": "linear", "b": "(1,[2,3])", "c": 4}),
        (["self.n=3"], {"self.n": 3}),
        (["a=(2+k)/2"], {"a": "=(2+k)/2"}),
    ],
)
def test_settings_are_read(texts: list[str], expected: dict[str, object]) -> None:
    """Numbers, words, formulas, names; a comma inside brackets separates nothing."""
    where = Target(Path("mine.py"), "f")
    read = read_options(where, 12, 3, 8, 100, None, None, (), texts, None, 1.0)
    assert read.settings == expected
    assert {name: type(value) for name, value in read.settings.items()} == {
        name: type(value) for name, value in expected.items()
    }


def test_a_budget_is_kept(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """An audit that takes too long ends in time, and says how long a call takes."""
    file = tmp_path / "slow.py"
    file.write_text(
        "import time\n" + MINE.replace("return np.sum(", "time.sleep(0.05)\n    return np.sum("),
        encoding="utf-8",
    )
    started = time.monotonic()
    code, _, err = run(capsys, f"{file}:idle", *SMALL, "--time-limit", "2")
    assert code == 2
    assert time.monotonic() - started < 15
    assert "the audit is not done in 2 s" in err
    (each,) = re.findall(r"calls in that time, (\d+) ms each", err)
    assert 50 <= int(each) <= 500
    assert "--time-limit 6" in err


@pytest.mark.slow
def test_a_terminal_hears_how_long_it_will_take(tmp_path: Path) -> None:
    """Before the answer, where that is long; no line is wider than the terminal."""
    file = tmp_path / "slow.py"
    file.write_text(
        "import time\n" + MINE.replace("return np.sum(", "time.sleep(0.02)\n    return np.sum("),
        encoding="utf-8",
    )
    shown = plain(on_terminal(["audit", "slow.py:floored", *SMALL], tmp_path, 80))
    assert re.search(r"about \d+ s: a call takes \d+ ms", shown)
    assert shown.index("about") < shown.index("a*R + b*max(f, K)")
    assert max(map(len, shown.splitlines())) <= 80


def test_the_readme_shows_what_the_first_audit_prints(
    tmp_path: Path,
) -> None:
    """Every line, on a terminal of 80 columns."""
    readme = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"```python\n(# my_vae.py\n.*?)```", readme, re.DOTALL)
    (printed,) = re.findall(r"```text\n(vae_loss: .*?)```", readme, re.DOTALL)
    (tmp_path / "my_vae.py").write_text(text, encoding="utf-8")
    first = ["audit", "my_vae.py:vae_loss", "--d", "784", "--k", "2"]
    shown = plain(on_terminal(first, tmp_path, 80))
    assert [line.rstrip() for line in shown.splitlines()] == printed.splitlines()


@pytest.mark.usefixtures("in_this_process")
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
    assert (facts["a"]["formula"], facts["b"]["formula"]) == ("k/d", "k/d")


WRAPPER = "def audited(x, x_hat, z_mean, z_log_var):"
REFUSED = {
    "no file": (("none.py:f",), ["none.py", "no such file"]),
    "no function": ((f"{BROKEN}:vae_los",), ["no vae_los", "did you mean 'vae_loss'?"]),
    "no colon": (("my_vae.py",), ["my_vae.py: there is no such file", "or a folder"]),
    "no name": ((f"{BROKEN}:",), ["FILE.py:NAME, FILE.py or FOLDER"]),
    "no function in a folder": ((f"{AUDITED}:f",), ["this is a folder", "lists the losses in it"]),
    "closed over": ((f"{BROKEN}:closed_over",), ["z_mean, z_log_var", "--args z_mean", WRAPPER]),
    "other arguments": ((f"{BROKEN}:unusual",), ["inputs, reconstruction", "unusual(image"]),
    "needs a value": ((f"{BROKEN}:weighted",), ["--set strength=1", *ROLES]),
    "no such output": ((f"{BROKEN}:vae_loss", "--total", "out[1]"), ["no out[1]", "one of out"]),
    "no arithmetic": ((f"{BROKEN}:vae_loss", "--total", "f(out)"), ["--total", "out[0] + out[2]"]),
    "raises": ((f"{BROKEN}:raising",), ["ValueError", "return x @ z_mean", WRAPPER]),
    "misspelt": (
        (f"{BROKEN}:misspelt",),
        ["your code raised AttributeError", "np.no_such_function(x - x_hat)", "mend that line"],
    ),
    "of tokens": ((f"{BROKEN}:of_tokens",), ["whole numbers, as of tokens", "(x > 0.5).long()"]),
    "of maps": ((f"{BROKEN}:of_maps",), ["--shape 2,2,3 --latent-shape 3,1,1"]),
    "of a network": ((f"{BROKEN}:of_a_network",), ["it takes params, a network's", WRAPPER]),
    "makes a loss": (
        (f"{BROKEN}:makes_a_loss",),
        [WRAPPER, "return makes_a_loss(z_mean, z_log_var)(x, x_hat)"],
    ),
    "of a model of its own": (
        (f"{BROKEN}:Stacked.elbo",),
        [
            "what its own model gives for z_mean, z_log_var is not known",
            "expected: names that tell, as in `mu, log_var = self.encode(x)`",
            "received: line 148: zs, both = self.encode(x)\n",
            "give the results such names in these lines; else write a wrapper",
        ],
    ),
    "for MNIST alone": ((f"{BROKEN}:for_mnist",), ["works at d = 784", "hard-coded"]),
    "for images": ((f"{BROKEN}:for_images",), ["those of shape 2,2,3", "--shape 2,2,3"]),
    "wrong shape": ((f"{BROKEN}:one_per_latent",), ["shape (3,)", "one value per sample", WRAPPER]),
    "text": ((f"{BROKEN}:text",), ["no number", "str", WRAPPER]),
    "nothing": ((f"{BROKEN}:nothing",), ["no number", "NoneType"]),
    "NaN": ((f"{BROKEN}:not_a_number",), ["not finite", "x_hat between 0 and 1"]),
    "constant": ((f"{BROKEN}:constant",), ["neither the reconstruction nor the latents"]),
    "endless": (
        (f"{BROKEN}:endless", "--time-limit", "3"),
        ["did not return", "none after 3 s", "on and on", "--time-limit"],
    ),
    "crash": ((f"{BROKEN}:crashing",), ["exit code 7", "the last words"]),
    "abort": ((f"{BROKEN}:aborting",), ["SIGABRT"]),
    "exit": ((f"{BROKEN}:leaving",), ["SystemExit", "I leave"]),
    "class": ((f"{BROKEN}:Losses",), ["is a class", WRAPPER]),
    "a class that needs something": (
        (f"{BROKEN}:Broken.loss",),
        ["a value for config", "Broken(config)", "--set config=1"],
    ),
    "a model asked for the unknown": (
        (f"{BROKEN}:asks_a_model",),
        ["model.terms(...) gives is not known", WRAPPER],
    ),
    "a model's number": ((f"{BROKEN}:reads_a_model",), ["--set model.beta=1"]),
    "number": ((f"{BROKEN}:number",), ["int"]),
    "no model": ((f"{BROKEN}:builds_nothing",), ["build a Keras model", "str"]),
    "unknown role": ((f"{BROKEN}:unusual", "--args", "xhat=drawn"), ["xhat", "'x_hat'"]),
    "unknown name": ((f"{BROKEN}:unusual", "--args", "x=imag"), ["no argument", "'image'"]),
    "set a stranger": ((f"{BROKEN}:vae_loss", "--set", "bta=1"), ["--set", "bta", "z_log_var"]),
    "no list": ((f"{BROKEN}:weighted", "--set", "strength=[1,"), ["--set", "such as [32,64]"]),
    "no pair": ((f"{BROKEN}:vae_loss", "--set", "4"), ["name=value"]),
    "shape and d": ((f"{BROKEN}:vae_loss", "--shape", "3,5"), ["--shape", "d = 12", "15"]),
    "shape and k": ((f"{BROKEN}:vae_loss", "--latent-shape", "2,2"), ["k = 3", "4 values"]),
    "no shape": ((f"{BROKEN}:vae_loss", "--shape", "3,b"), ["--shape takes whole numbers"]),
    "no latents": ((f"{BROKEN}:vae_loss", "--k", "0"), ["--k", "from 1"]),
    "no time": ((f"{BROKEN}:vae_loss", "--time-limit", "0"), ["--time-limit", "above 0"]),
}


# Those that end or hang a process, and those whose text depends on the libraries that are loaded.
OF_A_CHILD = {
    "endless",
    "crash",
    "abort",
    "exit",
    "raises",
    "for MNIST alone",
    "for images",
    "text",
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_audited_is_told_on_one_screen(
    capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest, name: str
) -> None:
    """Exit 2: what was tried, what came back, what to write instead; no traceback."""
    if name not in OF_A_CHILD:
        request.getfixturevalue("in_this_process")
    (target, *rest), told = REFUSED[name]
    code, out, err = run(capsys, target, *SMALL, *rest)
    assert code == 2, out
    assert out == ""
    for words in told:
        assert words in err
    assert "Traceback" not in err
    assert len(err.splitlines()) <= 14


def test_a_loss_that_hangs_far_out_is_audited_without(capsys: pytest.CaptureFixture[str]) -> None:
    """What hung is named, and the rest is told."""
    target = (f"{BROKEN}:hangs_far_out", *SMALL, "--time-limit", "8")
    code, out, _ = run(capsys, *target)
    assert code == 0
    assert "The loss does not return at z_mean of about 60" in out
    assert "Your loss is docs" in out


@pytest.mark.parametrize("sizes", [(), ("--d", "12"), ("--k", "3")], ids=" ".join)
def test_a_loss_needs_its_sizes(capsys: pytest.CaptureFixture[str], sizes: tuple[str, ...]) -> None:
    """What is missing, and a whole command with what was given."""
    code, out, err = run(capsys, f"{BROKEN}:vae_loss", *sizes)
    assert (code, out) == (2, "")
    d, k = ("12" if "--d" in sizes else "784"), ("3" if "--k" in sizes else "20")
    assert f"lossbench audit {BROKEN}:vae_loss --d {d} --k {k}" in err
    for option in {"--d", "--k"} - set(sizes):
        assert f"no {option}" in err


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("import no_such_library\n", ["No module named 'no_such_library'", "line 1"]),
        ("def f(:\n", ["SyntaxError"]),
        ("import os\nos._exit(3)\n", ["exit code 3"]),
    ],
)
def test_a_file_that_cannot_be_loaded_is_told(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str, told: list[str]
) -> None:
    """A missing library and an error of syntax, with the line; an import that ends the process."""
    file = tmp_path / "mine.py"
    file.write_text(text, encoding="utf-8")
    code, _, err = run(capsys, f"{file}:f", *SMALL, "--time-limit", "3")
    assert code == 2
    for words in told:
        assert words in err


def test_a_file_that_trains_on_import_is_told(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the limit of loading, which is ten seconds at least, and here one."""
    limits: list[float] = []

    def load(child: Child, *arguments: Any) -> None:
        limits.append(arguments[-1])
        loaded(child, *arguments[:-1], 1.0)

    loaded = Child.load
    monkeypatch.setattr(Child, "load", load)
    file = tmp_path / "mine.py"
    file.write_text("import time\nwhile True: time.sleep(1)\n", encoding="utf-8")
    code, _, err = run(capsys, f"{file}:f", *SMALL, "--time-limit", "3")
    assert (code, limits) == (2, [10])
    for words in ("ran too long", "no end after 1 s", "__main__"):
        assert words in err


def test_an_audit_leaves_nothing_behind(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """No cache beside the user's file."""
    file = tmp_path / "mine.py"
    file.write_text(Path(BROKEN).read_text(encoding="utf-8"), encoding="utf-8")
    assert run(capsys, f"{file}:vae_loss", *SMALL)[0] == 0
    assert [path.name for path in tmp_path.iterdir()] == ["mine.py"]


@pytest.mark.slow
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
    """The convolutional example's: sums of both; its d is its own, k is varied all the same."""
    code, out, err = run(
        capsys, f"{MODELS}:build_convolutional", "--d", "784", "--k", "2", "--json"
    )
    assert code == 0, err
    facts = json.loads(out)
    assert facts["beta_eff"]["value"] == pytest.approx(1, rel=1e-3)
    assert (facts["reconstruction"], facts["over_inputs"]) == ("bce", "sum")
    assert (facts["over_latents"], facts["over_batch"]) == ("sum", "mean")
    assert facts["fixed"] == ["d"]
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
