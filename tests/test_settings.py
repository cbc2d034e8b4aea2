"""The table of settings: what it says holds, and what may be added to it works."""

import re
from typing import Literal

import pytest
import typer.main

from lossbench.cli.app import app
from lossbench.errors import ExperimentError
from lossbench.experiment import read
from lossbench.loss import canonical
from lossbench.settings import KEYS, SECTIONS, SETTINGS, Setting, ranked

OPTIONS = {
    command: {name for parameter in found.params for name in parameter.opts}
    for command, found in typer.main.get_group(app).commands.items()
}
NUMBER_OR_WORD = Setting(name="sigma", type=float | Literal["learned"], above=0)


def _schedule(text: str) -> str:
    form, _, share = text.partition(":")
    if form != "linear" or not 0 < float(share) <= 1:
        raise ValueError
    return f"linear:{float(share):g}"


WITH_A_SYNTAX = Setting(name="kl_schedule", type=str, check=_schedule, rule="linear:F")


@pytest.mark.parametrize("key", KEYS.values(), ids=list(KEYS))
def test_a_key_takes_its_own_default(key: Setting) -> None:
    """The default keeps the rule, in its canonical form; so does each value of a default axis."""
    for value in (*key.axis, *([] if key.default is None else [key.default])):
        raw = list(value) if isinstance(value, tuple) else value
        assert key.checked(raw, "here") == value
        assert not isinstance(value, float) or canonical(value) == value


def test_every_key_is_an_option_of_a_sweep_and_every_prediction_is_asked_for_what_it_needs() -> (
    None
):
    """What a file may say, an option may say as well."""
    options = {name: f"--{name.replace('_', '-')}" for name in KEYS}
    assert set(options.values()) <= OPTIONS["sweep"]
    predicts = {options[key.name] for key in KEYS.values() if key.prediction}
    assert predicts == OPTIONS["predict"] & set(options.values())


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_a_setting_can_be_what_it_says(setting: Setting) -> None:
    """What no file says has no option; what may be left out of an id has a default to be left at.

    Outside the grid a key has one default, and is expected to be something.
    """
    assert (setting.name in KEYS) == bool(setting.section) == bool(setting.option)
    assert bool(setting.section) <= bool(setting.expected)
    assert (setting.default is not None) == (setting.section != "sweep")
    spelt_out = setting.field in read().runs()[0].identity()
    assert not setting.identity or spelt_out or setting.default is not None


def test_the_keys_stand_in_the_order_of_a_file() -> None:
    """Section by section, the grid last."""
    order = [SECTIONS.index(key.section) for key in KEYS.values()]
    assert order == sorted(order)


@pytest.mark.parametrize(
    ("setting", "raw", "text", "value"),
    [
        (NUMBER_OR_WORD, 0.5, " 0.5", 0.5),
        (NUMBER_OR_WORD, 2, "2", 2.0),
        (NUMBER_OR_WORD, "learned", "learned", "learned"),
        (WITH_A_SYNTAX, "linear:0.50", "linear:.5", "linear:0.5"),
    ],
)
def test_a_number_or_a_word_and_a_text_with_a_syntax_are_read(
    setting: Setting, raw: object, text: str, value: object
) -> None:
    """From a file and from an option the same value, in its canonical form."""
    for found in (setting.checked(raw, "here"), setting.parsed(text, "here")):
        assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("setting", "raw", "words"),
    [
        (NUMBER_OR_WORD, "learnt", "did you mean 'learned'?"),
        (NUMBER_OR_WORD, 0, "a number above 0, or learned"),
        (NUMBER_OR_WORD, float("nan"), "received: nan"),
        (NUMBER_OR_WORD, True, "received: True"),
        (NUMBER_OR_WORD, "0.5", "received: '0.5'"),
        (WITH_A_SYNTAX, "linear", "linear:F"),
        (WITH_A_SYNTAX, "linear:2", "linear:F"),
        (WITH_A_SYNTAX, 0.5, "received: 0.5"),
    ],
)
def test_what_is_neither_is_refused(setting: Setting, raw: object, words: str) -> None:
    """With the rule, the value and the word that was meant."""
    with pytest.raises(ExperimentError, match=re.escape(words)) as caught:
        setting.checked(raw, "here")
    assert caught.value.where == "here"


@pytest.mark.parametrize(
    ("bounds", "kind", "rule"),
    [
        ({"at_least": 1}, int, "a whole number of at least 1"),
        ({"above": 0, "at_most": 1}, float, "a number above 0 and at most 1"),
        ({}, float, "a number"),
        ({}, Literal["bce"], "bce"),
        ({}, Literal["adam", "adamw", "sgd"], "adam, adamw or sgd"),
        ({"at_least": 0.5}, float | Literal["a", "b"], "a number of at least 0.5, or a or b"),
    ],
)
def test_a_rule_follows_from_the_type_and_the_bounds(
    bounds: dict[str, float], kind: object, rule: str
) -> None:
    """What a setting does not say in words of its own."""
    assert Setting("training", type=kind, **bounds).expected == rule


def test_numbers_and_words_have_an_order() -> None:
    """Numbers come first, by their size."""
    assert NUMBER_OR_WORD.is_mixed
    assert not WITH_A_SYNTAX.is_mixed
    assert not KEYS["optimizer"].is_mixed
    assert sorted(["learned", 2.0, 0.5], key=ranked) == [0.5, 2.0, "learned"]
