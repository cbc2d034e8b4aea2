"""On which line of a TOML file a key or a section stands, so that an error can say so."""

import re

_TEXT_OR_COMMENT = re.compile(r'"(?:\\.|[^"\\])*"|\'[^\']*\'|#.*')
_HEADER = re.compile(r"\s*\[+\s*([^\]]*?)\s*\]")
_KEY = re.compile(r"""\s*["']?([^"'=\s]+?)["']?\s*=""")


class Lines:
    """The lines of a file's keys and section headers, by section, its number and key."""

    def __init__(self, text: str) -> None:
        self._found: dict[tuple[str, int, str], int] = {}
        n_sections: dict[str, int] = {}
        section, depth = "", 0
        for number, line in enumerate(text.splitlines(), start=1):
            if depth <= 0 and (header := _HEADER.match(line)):
                section = header[1].strip("\"'")
                n_sections[section] = n_sections.get(section, -1) + 1
                self._found.setdefault((section, n_sections[section], ""), number)
                continue
            if depth <= 0 and (key := _KEY.match(line)):
                place = (section, n_sections.get(section, 0), key[1].split(".")[-1])
                self._found.setdefault(place, number)
            bare = _TEXT_OR_COMMENT.sub("", line)
            depth = max(0, depth + bare.count("[") + bare.count("{"))
            depth -= bare.count("]") + bare.count("}")

    def of(self, name: str, section: str = "", number: int = 0) -> int | None:
        """Return the line of a key in the ``number``-th section of a name, or of a header.

        Without a section, ``name`` is a header or else a key anywhere; None if it is nowhere.
        """
        if section:
            places = [(section, number, name), ("", 0, name), (section, 0, name)]
        else:
            places = [(name, 0, ""), *(place for place in self._found if place[2] == name)]
        return next((self._found[place] for place in places if place in self._found), None)
