"""An ``os`` whose n-th step of a write goes wrong: the one fault hook, and it is in the tests.

``lossbench.store.records`` writes through ``os`` alone; a test puts a ``FaultyOs`` there.
"""

import os
from collections.abc import Callable
from typing import Any

STEPS = ("open", "write", "fsync", "replace")

Fault = Callable[[], None]


class Killed(BaseException):
    """Ends a write as ``kill -9`` does: nothing below it is cleaned up."""


class FaultyOs:
    """The module ``os``, except that step ``number`` (from 1 on) ends in ``fault``.

    ``steps`` names every step that was reached. A write that fails has written half.
    """

    def __init__(self, number: int = 0, fault: Fault = lambda: None) -> None:
        self.steps: list[str] = []
        self._number = number
        self._fault = fault

    def __getattr__(self, name: str) -> Any:
        function = getattr(os, name)
        if name not in STEPS:
            return function

        def step(*arguments: Any) -> Any:
            self.steps.append(name)
            if len(self.steps) == self._number:
                if name == "write":
                    descriptor, content = arguments
                    os.write(descriptor, content[: len(content) // 2])
                self._fault()
            return function(*arguments)

        return step
