"""Compares an output with the one that a page shows for it, apart from what is different in every run."""

import re

UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
MOMENT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|\+00:00)"
CURSOR = r"WyJ[\w-]{8,}"
MEASURED = r'"(?:score|similarity)": ?\d+(?:\.\d+)?(?:e-\d+)?'
ELLIPSIS = "…"
STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
PARTS = re.compile(
    rf"(?P<id>{UUID}|{CURSOR})|(?P<moment>{MOMENT})|(?P<measured>{MEASURED})|(?P<rest>\n?^{ELLIPSIS}$\n?)"
    rf"|(?P<some>{ELLIPSIS})",
    re.MULTILINE,
)
VARIABLE = {
    "moment": MOMENT,
    "measured": r'"(?:score|similarity)": ?(?:\d+(?:\.\d+)?(?:e-\d+)?)',
    "rest": r"(?:.|\n)*?",
    "some": r".*?",
}


class Bindings:
    """Which real id stands for each id that a page shows. The page is consistent: one id, one real id."""

    def __init__(self) -> None:
        self.actual: dict[str, str] = {}

    def substitute(self, command: str) -> str:
        for documented, actual in self.actual.items():
            command = command.replace(documented, actual)
        return command

    def match(self, documented: str, actual: str, *, is_json: bool) -> bool:
        """Whether `actual` is the documented output; the ids in it are then bound."""
        if is_json:
            documented, actual = compact(documented), compact(actual)
        groups: dict[str, str] = {}
        matched = re.fullmatch(self._pattern(documented.strip(), groups), actual.strip())
        if matched is None:
            return False
        self.actual |= {documented_id: matched[group] for documented_id, group in groups.items()}
        return True

    def _pattern(self, documented: str, groups: dict[str, str]) -> str:
        """The regular expression of a documented output. `groups` gets the group of each id that is not bound yet."""
        parts, end = [], 0
        for part in PARTS.finditer(documented):
            parts.append(re.escape(documented[end : part.start()]))
            end = part.end()
            kind = str(part.lastgroup)
            parts.append(self._id(part[0], groups) if kind == "id" else VARIABLE[kind])
        return "".join([*parts, re.escape(documented[end:])])

    def _id(self, documented: str, groups: dict[str, str]) -> str:
        if documented in self.actual:
            return re.escape(self.actual[documented])
        if documented in groups:
            return f"(?P={groups[documented]})"
        groups[documented] = f"id{len(groups)}"
        return f"(?P<{groups[documented]}>{UUID if re.fullmatch(UUID, documented) else CURSOR})"


def compact(text: str) -> str:
    """JSON without the white space between its parts."""
    parts, end = [], 0
    for string in STRING.finditer(text):
        parts += [re.sub(r"\s+", "", text[end : string.start()]), string[0]]
        end = string.end()
    return "".join([*parts, re.sub(r"\s+", "", text[end:])])
