"""One step of an explanation."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """A heading, the formulas under it (a line each) and a paragraph that follows from them."""

    title: str
    formulas: tuple[str, ...] = ()
    text: str = ""
