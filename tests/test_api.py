"""The door for Python: each function twice in one process, from a script as people write them."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import lossbench
from lossbench.errors import AuditError, UsageError
from lossbench.store import Store

UNGUARDED = """
import json, sys
import lossbench
print("main runs")
told = []
for _ in range(2):
    swept = lossbench.sweep(
        loss=["blog", "docs"], reconstruction_loss="bce", beta=1, d=16, k=2, hidden=(8,), epochs=2,
        seeds=1, out="made", progress=lambda *counts: told.append(counts),
    )
json.dump([told, swept.failed, len(swept.to_frame())], open("told.json", "w"))
"""
TYPED = """
import lossbench
from lossbench.auditing import Audit

def vae_loss(x: float, x_hat: float, z_mean: float, z_log_var: float) -> float:
    return x

found: Audit = lossbench.audit(vae_loss, d=4, k=2)
weight: float = found.beta_eff
failed: dict[str, str] = lossbench.sweep(beta=[0.1, 1], progress=lambda done, n: None).failed
lossbench.predict("x.toml", d=64).settings[0].collapses
"""


# Whatever runs in the process already: TensorFlow, PyTorch or nothing of the kind.
BESIDE = """
import sys
{library}
import numpy as np
import lossbench

def docs_loss(x, x_hat, z_mean, z_log_var):
    kl = -0.5 * (1 + z_log_var - z_mean**2 - np.exp(z_log_var)).sum(axis=1)
    return (((x - x_hat) ** 2).sum(axis=1) + kl).mean()

loaded = set(sys.modules)
grid = dict(loss=["blog", "docs"], reconstruction_loss="bce", beta=1, d=16, k=2)
for _ in range(2):
    assert lossbench.audit(docs_loss, d=784, k=2).beta_eff.formula == "1"
    assert lossbench.audit("mine.py:docs_loss", d=784, k=2).beta_eff.formula == "1"
    assert lossbench.explain("blog", d=784, k=2).listed.beta_eff == 392
    assert len(lossbench.predict(**grid).settings) == 2
    x = np.random.default_rng(0).random((50, 4))
    z = np.zeros((50, 2))
    assert lossbench.measure(x, x, z, z, reconstruction_loss="mse").collapsed
    swept = lossbench.sweep(**grid, hidden=(8,), epochs=2, seeds=1, out="made")
    assert len(swept.to_frame()) == 2 and not swept.failed
    assert lossbench.compare("made:loss=docs", "made:loss=blog").cells
    assert len(lossbench.show("made").to_frame()) == 2
print(sorted((set(sys.modules) - loaded) & {{"tensorflow", "keras", "torch"}}))
"""
INTERRUPTED = """
import os, signal, sys, time
import psutil
import lossbench

def told(done, n):
    print(done, n, flush=True)
    if done == 1 and sys.argv[1:] == ["raise"]:
        raise KeyboardInterrupt

grid = dict(loss="docs", beta=[0.5, 1, 2, 4, 8, 16], d=[16, 64], k=2, epochs=300, seeds=1)
try:
    lossbench.sweep(**grid, out="made", workers=1, progress=told)
except KeyboardInterrupt:
    print("interrupted", len(psutil.Process().children(recursive=True)))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
"""


def docs_loss(x, x_hat, z_mean, z_log_var):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201, RUF100
    """Return the documentation's loss with mse, and print, as people do."""
    print("called")
    kl = -0.5 * (1 + z_log_var - z_mean**2 - np.exp(z_log_var)).sum(axis=1)
    return (((x - x_hat) ** 2).sum(axis=1) + kl).mean()


def odd_loss(x, x_hat, z_mean, z_log_var, gamma):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201, RUF100
    """Return a loss with an argument that has no value."""
    kl = -0.5 * (1 + z_log_var - z_mean**2 - np.exp(z_log_var)).sum(axis=1)
    return (((x - x_hat) ** 2).sum(axis=1) + gamma * kl).mean()


def foo_loss(x, foo, z_mean, z_log_var):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201, RUF100
    """Return a loss with a reconstruction of an unusual name."""
    return odd_loss(x, foo, z_mean, z_log_var, 1)


def sized_loss(x, x_hat, z_mean, z_log_var, x_dim=4):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201, RUF100
    """Return a loss with a size that has a default."""
    return odd_loss(x, x_hat, z_mean, z_log_var, 1 / x_dim)


def run(program: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a script of its own."""
    script = folder / "script.py"
    script.write_text(program, encoding="utf-8")
    return subprocess.run(
        [sys.executable, str(script)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": str(Path(lossbench.__file__).parent.parent)},
    )


def test_importing_it_costs_nothing(tmp_path: Path) -> None:
    """None of its dependencies is loaded, and every function is there to be completed."""
    heavy = "{'tensorflow', 'keras', 'pandas', 'numpy', 'matplotlib', 'distributed', 'typer'}"
    answer = run(f"import sys, lossbench\nprint(sorted({heavy} & {{*sys.modules}}))", tmp_path)
    assert answer.stdout == "[]\n"
    assert set(lossbench.__all__) <= set(dir(lossbench))


def test_the_functions_answer_twice(
    drilled_results: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A room that is loaded by a call takes no function's place; nothing is printed."""
    sides = [f"{drilled_results}:loss={loss}" for loss in ("docs", "blog")]
    for _ in range(2):
        found = lossbench.audit(docs_loss, d=784, k=2)
        assert str(found).startswith("docs_loss: a*R + b*K")
        assert (found.process, found.beta_eff) == ("this", pytest.approx(1))
        assert lossbench.explain("blog", d=784, k=2).listed.beta_eff == 392
        assert not lossbench.predict(loss="docs", d=64, beta=1).settings[0].collapses
        assert lossbench.compare(*sides).cells
        assert list(lossbench.show(drilled_results).to_frame()["loss"]) == ["blog", "docs"]
    assert tuple(capfd.readouterr()) == ("", "")


def test_errors_are_those_of_the_command() -> None:
    """They are raised, not printed."""
    with pytest.raises(UsageError, match="bloog"):
        lossbench.explain("bloog")
    with pytest.raises(UsageError, match="beta"):
        lossbench.explain("blog", beta=-1)
    with pytest.raises(AuditError, match="no argument for"):
        lossbench.audit(lambda x: x, d=4, k=2)


REFUSED = {
    "a name": (lambda: lossbench.predict(los="docs"), "los: unknown key"),
    "nothing": (lambda: lossbench.predict(loss=None), "loss: no loss is called"),
    "one of several": (lambda: lossbench.predict(beta=(1, "a")), "beta: "),
    "a word": (lambda: lossbench.explain("blog", beta="x"), "beta: `beta` is no number"),
    "text": (lambda: lossbench.explain("blog", d="784"), "d: `d` is no whole number"),
    "a number": (lambda: lossbench.audit(3, d=4, k=2), "target: this is no loss"),
    "no sizes": (lambda: lossbench.audit(docs_loss, d=4), "d=, the inputs of an image, and k="),
    "no latents": (lambda: lossbench.audit(docs_loss, d=4, k=0), "k: a size has a value"),
    "no kind": (lambda: lossbench.explain("blog", reconstruction_loss="l2"), "'l2'"),
    "no loss": (lambda: lossbench.explain(None), "loss: "),
    "no folder": (lambda: lossbench.show(3), "results: "),
    "nobody": (lambda: lossbench.sweep(workers=0, out="o"), "workers: somebody has to train"),
    "a file": (lambda: lossbench.sweep(out=__file__), 'received: a file\n  try: out="'),
    "below a file": (lambda: lossbench.sweep(out=f"{__file__}/o"), "this is a file, and results"),
    "progress": (
        lambda: lossbench.sweep(out="o", progress="print"),
        "progress: `progress` cannot be called",
    ),
    "a size": (lambda: lossbench.audit(f"{__file__}:docs_loss", d=4), "d=4, k=20)"),
    "arguments": (lambda: lossbench.audit(odd_loss, d=4, k=2), 'try: settings={"gamma": 1}'),
    "a role": (lambda: lossbench.audit(foo_loss, d=4, k=2), 'try: args={"x_hat": "foo"} if'),
    "a setting": (
        lambda: lossbench.audit(odd_loss, d=4, k=2, settings={"gamma": print}),
        "settings: `gamma` has a value that cannot be handed over",
    ),
    "no pair": (lambda: lossbench.audit(odd_loss, d=4, k=2, settings=[3]), "takes pairs"),
    "a weight": (
        lambda: lossbench.measure(
            [[0, 1]], [[0, 1]], [[0]], [[0]], reconstruction_loss="mse", beta_eff="1"
        ),
        "beta_eff: the weight",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_named_as_python_has_it(name: str) -> None:
    """An argument, not an option; the same kinds of error as the command's."""
    call, told = REFUSED[name]
    with pytest.raises(UsageError) as refused:
        call()
    assert told in str(refused.value)
    assert "--" not in str(refused.value)


def test_pairs_are_a_dictionary_a_list_or_a_text() -> None:
    """The same audit; numbers of NumPy, formulas and lists are values, too."""
    answers = [
        lossbench.audit(odd_loss, d=4, k=2, settings=settings).beta_eff
        for settings in ({"gamma": 4}, {"gamma": np.float32(4)}, {"gamma": "d"}, ["gamma=4"])
    ]
    assert answers == pytest.approx([4] * 4)
    assert lossbench.audit(odd_loss, d=4, k=2, settings="gamma=4").beta_eff == pytest.approx(4)
    args = {"x_hat": "foo"}
    assert lossbench.audit(foo_loss, d=4, k=2, args=args).beta_eff == pytest.approx(1)
    sized = lossbench.audit(sized_loss, d=4, k=2)
    assert 'x_dim = 4 by default: args={"d": "x_dim"} has it follow d' in sized.filled
    assert not any("--" in finding.text for finding in sized.findings)


def test_several_values_come_in_any_sequence() -> None:
    """Lists, tuples and arrays; a tuple of layers is one network."""
    for given in ([0.5, 1], (0.5, 1), np.array([0.5, 1])):
        found = lossbench.predict(loss="docs", d=16, k=2, beta=given, reconstruction_loss="mse")
        assert [each.run.beta for each in found.settings] == [0.5, 1]
    (one,) = {each.run.hidden for each in lossbench.predict(hidden=(8, 4)).settings}
    several = {each.run.hidden for each in lossbench.predict(hidden=[(8, 4), ()]).settings}
    assert (one, several) == ((8, 4), {(8, 4), ()})
    axis = {each.run.hidden for each in lossbench.predict(hidden=[8, 4]).settings}
    assert axis == {(8,), (4,)}


def test_an_audit_here_puts_generators_back() -> None:
    """The caller's own draws are those that it would have had."""
    np.random.seed(1)
    state = np.random.get_state()[1].tolist()
    lossbench.audit(docs_loss, d=16, k=2)
    assert np.random.get_state()[1].tolist() == state


@pytest.mark.slow
def test_a_typed_script_passes_mypy(tmp_path: Path) -> None:
    """The package ships its types, also those of functions that load lazily."""
    (tmp_path / "typed.py").write_text(TYPED, encoding="utf-8")
    root = Path(lossbench.__file__).parent
    assert (root / "py.typed").exists()
    alone = ("--config-file", "", "--follow-imports", "silent", "--ignore-missing-imports")
    answer = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", *alone, "typed.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"MYPYPATH": str(root.parent)},
    )
    assert answer.returncode == 0, answer.stdout


@pytest.mark.slow
def test_a_sweep_from_an_unguarded_script(tmp_path: Path) -> None:
    """The workers do not run the script again; the second sweep has nothing to do."""
    answer = run(UNGUARDED, tmp_path)
    assert answer.stdout == "main runs\n"
    assert answer.stderr == ""
    told, failed, n_settings = json.loads((tmp_path / "told.json").read_text("utf-8"))
    assert told == [[0, 2], [1, 2], [2, 2], [0, 0]]
    assert (failed, n_settings) == ({}, 2)


@pytest.mark.slow
@pytest.mark.parametrize(
    "library",
    [
        "",
        "import tensorflow as tf; assert tf.reduce_sum(tf.ones(3)) == 3",
        "import torch; assert torch.ones(3).sum() == 3",
    ],
    ids=["alone", "tensorflow", "torch"],
)
def test_whatever_runs_in_the_process_already(library: str, tmp_path: Path) -> None:
    """Every function answers twice beside it, and none brings TensorFlow or PyTorch in."""
    program = BESIDE.format(library=library)
    (tmp_path / "mine.py").write_text(program.partition("loaded =")[0], encoding="utf-8")
    assert run(program, tmp_path).stdout == "[]\n"


@pytest.mark.slow
@pytest.mark.parametrize("how", ["raise", "signal"])
def test_an_interrupt_is_raised_where_the_sweep_was_called(how: str, tmp_path: Path) -> None:
    """No worker is left, and what is finished is kept."""
    script = tmp_path / "script.py"
    script.write_text(INTERRUPTED, encoding="utf-8")
    with subprocess.Popen(
        [sys.executable, str(script), how],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(lossbench.__file__).parent.parent)},
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("1 ") and how == "signal":
                process.send_signal(signal.SIGINT)
            last = line
    assert last == "interrupted 0\n"
    kept = Store(tmp_path / "made").statuses()
    assert set(kept.values()) == {"ok"}
    assert len(kept) < 24


def test_records_are_told_in_a_notebook_as_the_command_tells_them() -> None:
    """Words, tables and curves; as rows and as plain values; on paper of either colour."""
    digits = "results/digits:beta=1,d=64,k=2,reconstruction_loss=bce"
    measured = lossbench.measure(
        *([[0.0, 1.0], [1.0, 0.0]], [[0.1, 0.9], [0.9, 0.1]], [[1.0], [-1.0]], [[-3.0], [-3.0]]),
        reconstruction_loss="bce",
    )
    for record, told in (
        (lossbench.audit(docs_loss, d=784, k=2), "What it means"),
        (lossbench.explain("blog"), "beta_eff = b/a = beta*d/k"),
        (lossbench.explain("blog", "docs"), "docs at beta 392"),
        (lossbench.predict(loss="docs", d=64, beta=1), "thresholds t_1"),
        (lossbench.compare(f"{digits},loss=docs", f"{digits},loss=blog"), "B is worse by"),
        (lossbench.show("results/digits"), "▁"),
        (measured, "1 of 1 latent carries"),
    ):
        html = record._repr_html_()
        assert told in html
        assert told in str(record)
        assert not {"#000000", "#ffffff"} & set(re.findall("#[0-9a-f]{6}", html))
        assert json.loads(json.dumps(record.to_dict())) == record.to_dict()
        if hasattr(record, "to_frame"):
            assert len(record.to_frame())
