"""What is asked of an audit is checked at its limits, before anything runs."""

import math
from pathlib import Path
from typing import Any

import pytest

from lossbench.auditing import Options, Target, read_options, read_target
from lossbench.errors import AuditError

LOSS = Target(Path("vae.py"), "f")
FOLDER = Target(Path("src"))


def read(target: Target = LOSS, **asked: Any) -> Options:
    """Return the options that are read with most of them left as they are."""
    usual: dict[str, Any] = {
        **{"d": 12, "k": 3, "batch_size": 8, "n_images": 100, "shape": None},
        **{"latent_shape": None, "args": (), "settings": (), "total": None, "time_limit": 60.0},
    }
    return read_options(target, **(usual | asked))


def refused(target: Target = LOSS, **asked: Any) -> str:
    """Return what is said of options that cannot be."""
    with pytest.raises(AuditError) as refusal:
        read(target, **asked)
    return str(refusal.value)


@pytest.mark.parametrize(
    ("option", "least", "most"),
    [("d", 1, 2**22), ("k", 1, 2**14), ("batch_size", 1, 2**25 // 12), ("n_images", 1, 10**12)],
)
def test_a_size_has_a_least_and_a_largest_value(option: str, least: int, most: int) -> None:
    """Images and latents that fit into memory; 2**25 values in a batch."""
    name = {"batch_size": "--batch-size", "n_images": "--n-images"}.get(option, f"--{option}")
    for value in (least, most):
        read(**{option: value})
    said = refused(**{option: least - 1})
    assert f"{name}: a size has a value that it cannot take" in said
    assert "received: 0" in said
    assert "smaller" not in said
    said = refused(**{option: most + 1}) if option != "d" else refused(d=2**25 + 1)
    assert f"ask with a smaller {name}" in said
    assert f"from 1 to {2**25 if option == 'd' else most}" in said


def test_a_batch_has_at_least_an_image() -> None:
    """Of the largest d."""
    assert read(d=2**25, batch_size=1).sizes.batch_size == 1
    assert "--batch-size" in refused(d=2**25, batch_size=2)


@pytest.mark.parametrize("seconds", [0.0, -1.0, math.inf, math.nan])
def test_a_time_limit_is_a_number_of_seconds(seconds: float) -> None:
    """Above 0."""
    assert "expected: seconds, above 0" in refused(time_limit=seconds)
    assert read(time_limit=0.5).time_limit == 0.5


def test_shapes_stand_for_the_sizes_or_agree_with_them() -> None:
    """Commas or an x; flat images have the shape (d,), flat latents none."""
    assert (read().shape, read().latent_shape) == ((12,), ())
    for text in ("3,4,1", "3x4x1", " 3, 4 ,1"):
        found = read(d=None, shape=text)
        assert (found.sizes.d, found.shape) == (12, (3, 4, 1))
    found = read(k=None, latent_shape="2,2,5")
    assert (found.sizes.k, found.latent_shape) == (20, (2, 2, 5))
    assert read(shape="3,4", latent_shape="1,3").shape == (3, 4)
    said = refused(shape="3,5")
    assert "the shape of the images does not have d values" in said
    assert "expected: sides whose product is d = 12" in said
    assert "received: '3,5', 15 values" in said
    assert "leave --shape out for flat images, or --d out: the shape tells it" in said
    said = refused(latent_shape="4")
    assert "the shape of the latents does not have k values" in said
    assert "--k out" in said
    assert "--shape takes whole numbers" in refused(d=None, shape="3,-4")


def test_what_a_loss_trains_needs_its_sizes() -> None:
    """A loss by name has none that are usual; a file or a folder is listed at d = 784, k = 20."""
    said = refused(d=None, k=None)
    assert "received: no --d and no --k" in said
    assert "lossbench audit vae.py:f --d 784 --k 20" in said
    said = refused(k=None)
    assert "received: no --k" in said
    assert "lossbench audit vae.py:f --d 12 --k 20" in said
    listed = read(FOLDER, d=None, k=None).sizes
    assert (listed.d, listed.k) == (784, 20)
    listed = read(FOLDER).sizes
    assert (listed.d, listed.k, listed.batch_size, listed.n_images) == (12, 3, 8, 100)


def test_a_total_belongs_to_one_loss() -> None:
    """It is read as arithmetic."""
    assert "--total belongs to one loss" in refused(FOLDER, total="out[0]")
    assert read(total="out[0]+2*out[1]").total == "out[0] + 2 * out[1]"
    assert "is not arithmetic" in refused(total="f(out)")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *(("4", 4), ("+4", 4), ("-4", -4), ("4.", 4.0), (".5", 0.5), ("-1e-3", -0.001)),
        *(("True", True), ("false", False), ("NONE", None), ("2e3", 2000.0), ("1/4", 0.25)),
        *(("6/3", 2), ("d*k", "=d*k"), ("name", "name"), ("[1,2]", "[1,2]"), ("(4)", 4)),
        *(("('a',)", "('a',)"), ("{'a': 1}", "{'a': 1}"), ("(d+1)/2", "=(d+1)/2"), ("dk", "dk")),
    ],
)
def test_a_value_is_a_number_a_word_a_formula_or_a_name(text: str, expected: object) -> None:
    """A whole number stays whole; a formula of sizes follows them."""
    (found,) = read(settings=[f"a={text}"]).settings.values()
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize("text", ["a", "=4", "a=", "a==4", "4=a", "a b=4"])
def test_a_setting_is_a_pair(text: str) -> None:
    """A name, a sign, a value; empty ones between commas are none."""
    said = refused(settings=[text])
    assert "--set takes pairs" in said
    assert "--set beta=4" in said
    assert "--args x_hat=decoded" in refused(args=[text])
    assert read(settings=["a=1,,b=2,"], args=["x=image"]).settings == {"a": 1, "b": 2}


def test_a_list_that_cannot_be_read_is_refused() -> None:
    """What stands in round brackets may be a formula or a name."""
    assert "this is no list that can be read" in refused(settings=["a=[1,b]"])
    assert read(settings=["a=(1,b)"]).settings == {"a": "(1,b)"}


def test_roles_are_those_that_there_are() -> None:
    """The nearest one is suggested; which side the role stands on is told."""
    assert read(args=["x_hat=decoded", "z_mean=m"]).args == {"x_hat": "decoded", "z_mean": "m"}
    said = refused(args=["x_hut=decoded"])
    assert "no role is called 'x_hut'" in said
    assert "'x_hat'" in said
    assert "the role comes first: --args x_hat=decoded" in refused(args=["decoded=x_hat"])


def test_a_target_is_a_loss_a_file_or_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A path that holds a colon is found as it is; what is missing is named."""
    monkeypatch.chdir(tmp_path)
    Path("sub").mkdir()
    for name in ("vae.py", "a:b.py"):
        Path(name).write_text("", encoding="utf-8")
    assert read_target("vae.py:C.f") == Target(Path("vae.py"), "C.f")
    assert read_target("vae.py") == Target(Path("vae.py"))
    assert read_target("sub") == Target(Path("sub"))
    assert read_target("a:b.py") == Target(Path("a:b.py"))
    assert read_target("a:b.py:f") == Target(Path("a:b.py"), "f")
    assert (str(read_target("vae.py:f")), str(read_target("sub"))) == ("vae.py:f", "sub")
    for text, words in {
        "vae.py:": ["this names no loss", "received: 'vae.py:'"],
        ":f": ["this names no loss"],
        "": ["this names no loss", "received: ''"],
        " ": ["this names no loss"],
        "none.py": [
            "there is no such file",
            "in it, or a folder of such files",
            "received: nothing",
        ],
        "none.py:f": ["there is no such file", "a Python file with your loss in it\n"],
        "sub:f": ["this is a folder", "received: a folder", "lossbench audit sub lists the losses"],
    }.items():
        with pytest.raises(AuditError) as refusal:
            read_target(text)
        assert [word for word in words if word not in str(refusal.value)] == []
