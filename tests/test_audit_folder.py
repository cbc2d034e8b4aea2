"""``lossbench audit`` of a file or a folder: what is found by reading, and the baseline of it."""

import json
import re
import sys
from pathlib import Path

import keras
import pytest
import sklearn
import yaml
from test_audit_command import plain, run
from test_terminal import on_terminal

from lossbench.auditing.folder import candidates

REPOSITORY = Path(__file__).parent.parent
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")

RIGHT = """
import numpy as np

def vae_loss(x, x_hat, z_mean, z_log_var, beta=1.0):
    kl = -0.5 * np.sum(1 + z_log_var - z_mean**2 - np.exp(z_log_var), axis=1)
    return np.sum((x - x_hat) ** 2, axis=1) + beta * kl
"""
MEAN = RIGHT.replace("np.sum((x", "np.mean((x")
SMALL = ("--d", "12", "--k", "3")
BASELINE = ("--baseline", "lossbench-audit.json")


pytestmark = pytest.mark.usefixtures("in_this_process")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in a folder with one loss."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", sys.argv)
    write("vae.py", RIGHT)
    return tmp_path


def write(name: str, text: str) -> Path:
    """Write a file, with its folders."""
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def names(text: str) -> list[str]:
    """Return the names of what looks like a loss in a text."""
    path = write("read.py", "")
    path.write_bytes(text.encode("latin-1"))
    found, unread = candidates(path)
    assert unread == []
    return [each.target.name for each in found]


KL = "-0.5 * (1 + log_var - mu.pow(2) - log_var.exp()).sum(1)"
FOUND = {
    "unusual names": (
        "def f(inputs, recons, mu, log_var):\n"
        f"    return F.mse_loss(recons, inputs) + ({KL}).mean()\n",
        ["f"],
    ),
    "terms in functions of its own": (
        f"def kl(mu, log_var):\n    return {KL}\n"
        "def error(a, b):\n    return ((a - b) ** 2).sum(1)\n"
        "def total(x, y, mu, log_var):\n    return error(x, y) + kl(mu, log_var)\n",
        ["total"],
    ),
    "a method": (
        "class VAE:\n    def loss_function(self, *args, **kwargs):\n"
        "        recons, x, mu, log_var = args\n"
        f"        return F.mse_loss(recons, x) + kwargs['w'] * ({KL})\n",
        ["VAE.loss_function"],
    ),
    "a class that is called": (
        "class Loss(nn.Module):\n    def forward(self, x, x_hat, mu, log_var):\n"
        f"        return F.mse_loss(x_hat, x) + ({KL}).mean()\n",
        ["Loss"],
    ),
    "a model and images": (
        "def compute_loss(model, x):\n    mu, log_var = model.encode(x)\n"
        "    x_hat = model.decode(mu)\n"
        f"    return F.binary_cross_entropy(x_hat, x) + ({KL})\n",
        ["compute_loss"],
    ),
    "a step that holds both terms": (
        "class Lit:\n    def training_step(self, batch, i):\n"
        "        x_hat, mu, log_var = self(batch)\n"
        f"        return F.mse_loss(x_hat, batch) + ({KL}).mean()\n",
        ["Lit.training_step"],
    ),
    "not the step that only calls the loss": (
        "class Lit:\n    def loss(self, x, x_hat, mu, log_var):\n"
        f"        return F.mse_loss(x_hat, x) + ({KL}).mean()\n"
        "    def training_step(self, batch, i):\n        return self.loss(*self(batch))\n",
        ["Lit.loss"],
    ),
    "the builder of a Keras model, and not its layer": (
        "class Terms(Layer):\n    def call(self, inputs):\n        x, y, m, v = inputs\n"
        "        self.add_loss(ops.sum(ops.square(x - y)))\n"
        "        self.add_loss(-0.5 * ops.sum(1 + v - ops.square(m) - ops.exp(v)))\n"
        "        return y\n"
        "def build(n, k):\n    return Model(x, Terms()([x, y, m, v]))  # kl\n",
        ["build"],
    ),
    "one name for two ways to call it": (
        "class Loss:\n    def forward(self, x, x_hat, mu, log_var):\n"
        f"        return F.mse_loss(x_hat, x) + ({KL}).mean()\n"
        "    def __call__(self, x, x_hat, mu, log_var):\n"
        f"        return F.mse_loss(x_hat, x) + ({KL}).mean()\n",
        ["Loss"],
    ),
    "in another encoding, with a strange escape": (
        "# -*- coding: latin-1 -*-\nPATTERN = '\\d'\n" + RIGHT + "# \u00e9\n",
        ["vae_loss"],
    ),
    "a loss that calls another one": (
        RIGHT + "def scaled(x, x_hat, z_mean, z_log_var):\n"
        "    return 2 * vae_loss(x, x_hat, z_mean, z_log_var)\n",
        ["vae_loss", "scaled"],
    ),
    "under a condition": (
        "try:\n    import torch\nexcept ImportError:\n"
        + "".join(f"    {line}\n" for line in RIGHT.strip().splitlines()),
        ["vae_loss"],
    ),
    "one whose terms come from elsewhere": (
        "from my_terms import objective\n"
        "def vae_loss(x, x_hat, mu, logvar):\n    return objective(x, x_hat, mu, logvar)\n",
        ["vae_loss"],
    ),
    "not a training loop": (
        "def train_vae(model, data):\n    for x in data:\n        x_hat, mu, log_var = model(x)\n"
        f"        loss = F.mse_loss(x_hat, x) + ({KL}).mean()\n        loss.backward()\n"
        "    return loss\n",
        [],
    ),
    "not a model without a loss": (
        "class VAE:\n    def forward(self, x):\n        mu, log_var = self.encode(x)\n"
        "        z = mu + torch.randn_like(mu) * torch.exp(0.5 * log_var)\n"
        "        return self.decode(z), mu, log_var\n",
        [],
    ),
    "not a KL alone": (f"def kl_loss(mu, log_var):\n    return {KL}\n", []),
    "not a distillation": (
        "def distillation_loss(student, teacher, labels):\n"
        "    soft = F.kl_div(F.log_softmax(student), teacher)\n"
        "    return 0.5 * soft + F.cross_entropy(student, labels)\n",
        [],
    ),
    "not a test": (f"def test_loss():\n    return F.mse_loss(x_hat, x) + ({KL})\n", []),
}


@pytest.mark.parametrize(("text", "expected"), FOUND.values(), ids=FOUND)
def test_losses_are_found_by_reading(text: str, expected: list[str]) -> None:
    """A loss holds a KL and a reconstruction, by itself or in what it calls."""
    assert names(text) == expected


@pytest.mark.slow
def test_libraries_hold_no_loss_of_a_vae() -> None:
    """Mixtures, embeddings and every loss of Keras: no false alarm."""
    library = Path(sklearn.__file__).parent
    for path in (
        *(library / "mixture", library / "manifold", library / "decomposition"),
        Path(keras.__file__).parent / "src" / "losses",
    ):
        assert candidates(path) == ([], [])


def test_what_is_no_code_of_ones_own_is_passed_over(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Hidden and built folders, environments, links that lead out, files above 1 MB."""
    outside = tmp_path_factory.mktemp("outside") / "vae.py"
    outside.write_text(RIGHT, encoding="utf-8")
    for name in (".git", "node_modules", "build", "dist", "env"):
        write(f"{name}/vae.py", RIGHT)
    write("env/pyvenv.cfg", "")
    write("large.py", RIGHT + "# " + "a" * 1_000_000)
    (folder / "link.py").symlink_to(outside)
    (folder / "linked").symlink_to(outside.parent)
    write("src/vae.py", RIGHT)
    found, unread = candidates(Path())
    assert [str(each.target) for each in found] == ["vae.py:vae_loss", "src/vae.py:vae_loss"]
    assert unread == []


def test_a_folder_is_listed_a_line_a_loss(capsys: pytest.CaptureFixture[str]) -> None:
    """What cannot be read or asked is told in its line; what holds no loss is never imported."""
    write("broken.py", "def vae_loss(x:\n")
    write("pkg/lacks.py", "import no_such_library\n" + RIGHT)
    write("pkg/needs.py", RIGHT.replace("beta=1.0", "strength").replace("beta", "strength"))
    write("train.py", "# of a VAE\nopen('imported', 'w')\nraise SystemExit(3)\n")
    code, out, _ = run(capsys, ".", *SMALL)
    assert code == 0
    lines = out.splitlines()
    rows = {line.split()[0]: line.split()[1:] for line in lines if line.startswith(("vae", "pkg"))}
    assert rows["vae.py:4"] == ["vae_loss", "mse", "closed", "beta"]
    assert rows["pkg/lacks.py:5"] == rows["pkg/needs.py:4"] == ["vae_loss"]
    assert "No module named 'no_such_library'" in out
    assert "it needs a value for strength" in out
    assert "broken.py: cannot be read: line 1:" in out
    assert "1 of 3 audited at d 12, k 3" in out
    assert not Path("imported").exists()


def test_a_list_is_json_too(capsys: pytest.CaptureFixture[str]) -> None:
    """Each loss with its whole audit, or with why there is none; a setting goes where it fits."""
    write("needs.py", RIGHT.replace("beta=1.0", "strength").replace("beta", "strength"))
    write("broken.py", "def vae_loss(x:\n")
    code, out, _ = run(capsys, ".", *SMALL, "--set", "strength=4", "--json")
    assert code == 0
    facts = json.loads(out)
    found = {each["target"]: each for each in facts["losses"]}
    assert found["needs.py:vae_loss"]["audit"]["beta_eff"]["value"] == pytest.approx(4)
    assert found["vae.py:vae_loss"]["audit"]["beta_eff"]["value"] == pytest.approx(1)
    assert {each["refused"] for each in facts["losses"]} == {None}
    assert facts["unread"][0]["file"] == "broken.py"


def test_a_file_without_a_loss_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    """And that is no error."""
    write("vae.py", "def f(x):\n    return x\n")
    code, out, _ = run(capsys, "vae.py")
    assert code == 0
    assert "Nothing here looks like the loss of a VAE." in out


@pytest.mark.slow
def test_a_terminal_shows_which_loss_is_asked(folder: Path) -> None:
    """And no line is wider than the terminal."""
    shown = plain(on_terminal(["audit", ".", *SMALL], folder, 80))
    assert "1 of 1: vae.py:vae_loss" in shown
    assert max(len(line) for line in shown.splitlines()) <= 80


@pytest.mark.parametrize(
    "option",
    [("--strict",), ("--expect-beta-eff", "1"), ("--total", "out"), ("--threshold", "3")],
    ids=lambda option: option[0],
)
def test_what_belongs_to_one_loss_is_refused(
    capsys: pytest.CaptureFixture[str], option: tuple[str, ...]
) -> None:
    """Before anything is audited."""
    code, out, err = run(capsys, ".", *option)
    assert (code, out) == (2, "")
    assert option[0] in err
    assert "FILE.py:NAME" in err


def test_a_baseline_is_written_and_then_holds(capsys: pytest.CaptureFixture[str]) -> None:
    """The same losses write the same bytes, and pass."""
    code, _, err = run(capsys, ".", *SMALL, *BASELINE)
    assert code == 0
    assert "lossbench-audit.json written" in err
    first = Path("lossbench-audit.json").read_bytes()
    held = json.loads(first)["losses"]["vae.py:vae_loss"]
    assert (held["beta_eff"], held["formula"], held["reconstruction"]) == (1.0, "beta", "mse")
    assert (held["kl_form"], held["findings"], held["d"], held["k"]) == ("closed", [], 12, 3)
    assert run(capsys, ".", *SMALL, *BASELINE)[0] == 0
    assert run(capsys, ".", *SMALL, *BASELINE, "--update-baseline")[0] == 0
    assert Path("lossbench-audit.json").read_bytes() == first


def test_a_loss_that_trains_something_else_trips_the_gate(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Exit 4, with before and after, of a folder and of one loss; the file stays as it was."""
    run(capsys, ".", *SMALL, *BASELINE)
    first = Path("lossbench-audit.json").read_bytes()
    write("vae.py", MEAN)
    for target in (".", "vae.py", "vae.py:vae_loss"):
        code, out, err = run(capsys, target, *SMALL, *BASELINE)
        assert code == 4
        assert "beta*d" in out
        assert "vae.py:vae_loss: beta_eff 1 (beta) -> 12 (beta*d)" in err
    assert Path("lossbench-audit.json").read_bytes() == first
    assert run(capsys, ".", *SMALL, *BASELINE, "--update-baseline")[0] == 0
    assert run(capsys, ".", *SMALL, *BASELINE)[0] == 0


def test_a_number_and_a_formula_are_held(capsys: pytest.CaptureFixture[str]) -> None:
    """Another default of beta; a size that is hard-coded, and right at the size of the baseline."""
    run(capsys, "vae.py", *SMALL, *BASELINE)
    write("vae.py", RIGHT.replace("beta=1.0", "beta=4.0"))
    code, _, err = run(capsys, "vae.py", *SMALL, *BASELINE)
    assert code == 4
    assert "beta_eff 1 (beta) -> 4 (beta)" in err
    write("vae.py", RIGHT.replace("np.sum((x", "12 * np.mean((x"))
    code, _, err = run(capsys, "vae.py", *SMALL, *BASELINE)
    assert code == 4
    assert re.search(r"beta_eff 1 \(beta\) -> 1 \(.*d/12.*\)", err)


def test_the_form_of_a_loss_is_held_too(capsys: pytest.CaptureFixture[str]) -> None:
    """beta_eff stays 1 where the error becomes an absolute one, or the KL gets a floor."""
    run(capsys, ".", *SMALL, *BASELINE)
    write("vae.py", RIGHT.replace("(x - x_hat) ** 2", "np.abs(x - x_hat)"))
    code, _, err = run(capsys, ".", *SMALL, *BASELINE)
    assert code == 4
    assert "reconstruction mse -> l1" in err
    write("vae.py", RIGHT.replace("beta * kl", "beta * np.maximum(kl, 2.0)"))
    code, _, err = run(capsys, ".", *SMALL, *BASELINE)
    assert code == 4
    assert "KL closed -> floor" in err


def test_a_loss_that_can_no_more_be_audited_trips_the_gate(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With the reason; one that never could is no change."""
    write("other.py", "import no_such_library\n" + RIGHT)
    run(capsys, ".", *SMALL, *BASELINE)
    assert run(capsys, ".", *SMALL, *BASELINE)[0] == 0
    write("vae.py", "import no_such_library\n" + RIGHT)
    code, _, err = run(capsys, ".", *SMALL, *BASELINE)
    assert code == 4
    assert "vae.py:vae_loss: could be audited, and now: it cannot be imported" in err
    assert "other.py" not in err


def test_new_and_gone_losses_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    """They trip no gate; another file's losses are neither."""
    write("sub/other.py", RIGHT)
    run(capsys, ".", *SMALL, *BASELINE)
    write("vae.py", RIGHT.replace("vae_loss", "elbo_loss"))
    code, _, err = run(capsys, ".", *SMALL, *BASELINE)
    assert code == 0
    assert "new: vae.py:elbo_loss" in err
    assert "gone: vae.py:vae_loss" in err
    code, _, err = run(capsys, "sub", *SMALL, *BASELINE)
    assert (code, err) == (0, "")


def test_one_folder_is_updated_and_the_rest_stays(capsys: pytest.CaptureFixture[str]) -> None:
    """An update writes what was asked about, and drops what is gone from there."""
    write("sub/other.py", RIGHT)
    run(capsys, ".", *SMALL, *BASELINE)
    write("sub/other.py", MEAN.replace("vae_loss", "elbo_loss"))
    write("vae.py", MEAN)
    assert run(capsys, "sub", *SMALL, *BASELINE, "--update-baseline")[0] == 0
    losses = json.loads(Path("lossbench-audit.json").read_text("utf-8"))["losses"]
    assert {key: each["beta_eff"] for key, each in losses.items()} == {
        "sub/other.py:elbo_loss": 12.0,
        "vae.py:vae_loss": 1.0,
    }


def test_a_baseline_means_the_same_from_everywhere(
    capsys: pytest.CaptureFixture[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files are named as seen from the baseline's folder."""
    run(capsys, str(folder), *SMALL, *BASELINE)
    assert '"vae.py:vae_loss"' in Path("lossbench-audit.json").read_text("utf-8")
    write("sub/nothing.py", "")
    monkeypatch.chdir(folder / "sub")
    code, _, err = run(capsys, "..", *SMALL, "--baseline", "../lossbench-audit.json")
    assert (code, err) == (0, "")


def test_a_baseline_that_is_unfit_is_told_first(capsys: pytest.CaptureFixture[str]) -> None:
    """Other sizes, a damaged file, no folder for it: exit 2, and no verdict."""
    run(capsys, ".", *SMALL, *BASELINE)
    code, _, err = run(capsys, ".", "--d", "12", "--k", "4", *BASELINE)
    assert code == 2
    assert "k 3" in err
    assert "k 4" in err
    for text in ("{}", "no JSON", '{"format": 9, "losses": {}}'):
        write("lossbench-audit.json", text)
        code, out, err = run(capsys, ".", *SMALL, *BASELINE)
        assert (code, out) == (2, "")
        assert "delete it" in err
    code, out, _ = run(capsys, ".", *SMALL, "--baseline", "none/baseline.json")
    assert (code, out) == (2, "")
    assert run(capsys, ".", *SMALL, "--update-baseline")[0] == 2


def test_the_hook_runs_the_command_once_where_the_losses_are() -> None:
    """pre-commit's keys: our own command, in the user's environment, without names of files."""
    (hook,) = yaml.safe_load((REPOSITORY / ".pre-commit-hooks.yaml").read_text("utf-8"))
    assert set(hook) <= {
        *("id", "name", "description", "entry", "language", "types", "files"),
        *("pass_filenames", "require_serial", "args", "always_run"),
    }
    assert (hook["entry"], hook["language"], hook["types"]) == (
        "lossbench audit",
        "system",
        ["python"],
    )
    assert hook["pass_filenames"] is False
    used = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)]
    (repository,) = (entries[0] for entries in used if "hooks" in entries[0])
    assert repository["hooks"][0]["id"] == hook["id"]
    assert {"repo", "rev", "hooks"} == set(repository)
    command = f"{hook['entry']} {' '.join(repository['hooks'][0]['args'])}"
    assert command in [entries[0].get("run") for entries in used]
