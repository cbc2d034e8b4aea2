"""By what signs a loss is found in a file: one sign at a time, there or not."""

from pathlib import Path

import pytest

from lossbench.auditing.folder import candidates

ERROR = "F.mse_loss(x_hat, x)"
KL = "-0.5 * (1 + log_var - mu.pow(2) - log_var.exp()).sum(1)"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(text: str) -> list[str]:
    """Return the names of the losses in a text."""
    Path("read.py").write_text(text, encoding="utf-8")
    found, unread = candidates(Path("read.py"))
    assert unread == []
    return [each.target.name for each in found]


def returning(value: str, arguments: str = "x, x_hat, mu, log_var", name: str = "f") -> list[str]:
    """Return the names that are found where one function returns a value."""
    return names(f"# of a vae\ndef {name}({arguments}):\n    return {value}\n")


@pytest.mark.parametrize(
    "kl",
    [
        *("-0.5 * torch.sum(1 + log_var - mu.pow(2) - log_var.exp())",),
        *("-.5 * tf.reduce_sum(1 + v - tf.square(m) - tf.exp(v))", "kl_divergence(q, p)"),
        *("0.5 * (m**2 + np.exp(v) - v - 1)", "0.5 * (mu * mu + sigma**2 - torch.log(sigma**2))"),
        *("0.5 * ((mu)**2 + torch.exp(2 * logsigma))", "kld(mu, log_var)", "self.KL(mu, log_var)"),
        "0.5 * (m**2 + torch.exp(scale * self.logvar))",
        *("latent_loss(mu, log_var)", "log_q_z(z)", "kl_loss(mu).mean()", "compute_kl_div(mu)"),
    ],
)
def test_a_kl_is_told_by_its_formula_or_its_name(kl: str) -> None:
    """With a reconstruction beside it, and images and latents as arguments."""
    assert returning(f"{ERROR} + {kl}", "y_pred, mu, log_var") == ["f"]
    assert returning(f"{ERROR} + mu.sum()", "y_pred, mu, log_var") == []


@pytest.mark.parametrize(
    "error",
    [
        *("F.mse_loss(a, b)", "bce(a, b)", "F.binary_cross_entropy(a, b)", "(a - b)**2"),
        *(
            "tf.square(a - b)",
            "torch.abs(a - b)",
            "l1_loss(a, b)",
            "F.l1_loss(a, b)",
            "huber(a, b)",
        ),
        *(
            "p.log_prob(a)",
            "gaussian_nll(a, b)",
            "log_likelihood(a)",
            "rec_loss(a)",
            "recon_loss(a)",
        ),
        *("reconstruction_term(a)", "mean_squared_error(a, b)", "squared_difference(a, b)"),
        *("(a - b).pow(2)", "F.log_softmax(a)"),
    ],
)
def test_a_reconstruction_is_told_by_a_difference_or_a_name(error: str) -> None:
    """With a KL beside it; in a function whose name says nothing."""
    assert returning(f"{error} + {KL}", "a, x_hat, mu, log_var") == ["f"]


@pytest.mark.parametrize(
    "value",
    [
        *("1.0", "decode(mu)", "0.5 * log_var.exp()", "mu**2 - log_var", "(mu, log_var)"),
        *(ERROR, KL, "torch.exp(0.5 * log_var) * eps + mu"),
    ],
)
def test_half_of_the_signs_are_not_enough(value: str) -> None:
    """A sampler, a prediction, a term alone, in a function of another name."""
    assert returning(value, "x, mu, log_var") == []


@pytest.mark.parametrize("name", ["vae_loss", "elbo", "objective", "free_energy", "lower_bound"])
def test_a_name_stands_for_what_the_body_does_not_show(name: str) -> None:
    """Where all four are arguments; never a test, never what returns nothing."""
    four = "x, x_hat, mu, log_var"
    assert returning("terms(x, x_hat, mu, log_var)", four, name) == [name]
    assert returning("terms(x, x_hat, mu, log_var)", four, "f") == []
    assert returning("terms(x, mu, log_var)", "x, mu, log_var", name) == []
    assert returning("terms(x, x_hat, mu, log_var)", four, f"test_{name}") == []
    assert names(f"def {name}({four}):\n    print(terms(x, x_hat, mu, log_var))\n") == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *(("training_step", True), ("train_step", True), ("compute_loss", True)),
        *(("train_vae", False), ("run_vae", False)),
    ],
)
def test_a_step_may_train_and_a_loop_is_no_loss(name: str, expected: bool) -> None:
    """Both terms, a decoder and ``backward`` in one body."""
    text = (
        f"class C:\n    def {name}(self, batch):\n        x_hat, mu, log_var = self.decode(batch)\n"
        f"        loss = F.mse_loss(x_hat, batch) + ({KL}).mean()\n"
        "        loss.backward()\n        return loss\n"
    )
    found = "C" if name == "train_step" else f"C.{name}"
    assert names(text) == ([found] if expected else [])
    for call in ("opt.zero_grad()", "m.fit(x)", "m.train_on_batch(x)", "o.apply_gradients(g)"):
        assert names(text.replace("loss.backward()", call)) == ([found] if expected else [])


def test_a_loss_has_its_line_and_every_argument_that_it_may_be_given() -> None:
    """Those of its class too; by place alone or by name alone."""
    Path("read.py").write_text(
        "class Loss:\n    def __init__(self, beta, *, gamma=1):\n        pass\n\n"
        "    def forward(self, x, x_hat, /, mu, log_var, *, scale):\n"
        f"        return {ERROR} + ({KL})\n\n"
        f"def last(x, x_hat, mu, log_var):\n    return {ERROR} + ({KL})\n",
        encoding="utf-8",
    )
    (first, second), _ = candidates(Path("read.py"))
    assert (str(first.target), first.line) == ("read.py:Loss", 5)
    assert first.parameters == {
        *("self", "x", "x_hat", "mu", "log_var", "scale", "beta", "gamma"),
    }
    assert (str(second.target), second.line) == ("read.py:last", 8)
    assert second.parameters == {"x", "x_hat", "mu", "log_var"}


def test_folders_of_tools_and_large_files_are_passed_over(folder: Path) -> None:
    """A file of a million bytes is read, one of more is not; a link that stays inside is."""
    text = f"def f(x, x_hat, mu, log_var):\n    return {ERROR} + ({KL})\n# "
    tools = ("node_modules", "build", "dist", "site-packages", "__pycache__", ".tox", "a.egg-info")
    for name in (*tools, "src", "env", "buildings"):
        (folder / name).mkdir()
        (folder / name / "vae.py").write_text(text, encoding="utf-8")
    (folder / "env" / "pyvenv.cfg").touch()
    (folder / "a.py").write_text(text.ljust(1_000_000, "a"), encoding="utf-8")
    (folder / "b.py").write_text(text.ljust(1_000_001, "a"), encoding="utf-8")
    (folder / "c.txt").write_text(text, encoding="utf-8")
    (folder / "d.py").symlink_to(folder / "src" / "vae.py")
    found, unread = candidates(Path())
    assert [str(each.target) for each in found] == [
        *("a.py:f", "d.py:f", "buildings/vae.py:f", "src/vae.py:f"),
    ]
    assert unread == []
    (whole,), _ = candidates(Path("b.py"))  # which was asked for by name
    assert whole.target.name == "f"


def test_what_cannot_be_read_is_told_with_its_line() -> None:
    """If it looks like a file with a loss in it at all."""
    Path("a.py").write_text("# of a vae\n\ndef f(x:\n", encoding="utf-8")
    Path("b.py").write_text("def f(x:\n", encoding="utf-8")
    Path("c.py").write_bytes(b"# vae \0")
    found, unread = candidates(Path())
    assert found == []
    assert [each.path.name for each in unread] == ["a.py", "c.py"]
    assert unread[0].reason.startswith("line 3: ")
    assert "null byte" in unread[1].reason
