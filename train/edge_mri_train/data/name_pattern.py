"""`--pattern REGEX`: labels, planes, patients and splits out of the names of files.

The expression is searched in the path of each file below its set, with `/` between folders. What
the texts that it finds mean is for the vocabulary to say.
"""

import re
from dataclasses import dataclass
from pathlib import PurePath

from edge_mri.errors import OptionError

TYPE, PLANE, GROUP, SPLIT = NAMES = ("type", "plane", "group", "split")


@dataclass(frozen=True)
class NamePattern:
    """A regular expression with some of the named groups type, plane, group and split."""

    expression: re.Pattern[str]

    @classmethod
    def read(cls, text: str) -> "NamePattern":
        """Compile it; raises `OptionError` where it is none, or names no group that is known."""
        expected = "expected named groups such as (?P<type>[a-z]+), of " + ", ".join(NAMES)
        try:
            expression = re.compile(text)
        except re.error as error:
            raise OptionError(
                f"--pattern {text!r} is no regular expression ({error}); {expected}"
            ) from error
        named = set(expression.groupindex)
        if not named or named - set(NAMES):
            raise OptionError(
                f"--pattern {text!r} names {', '.join(sorted(named)) or 'no group'}; {expected}"
            )
        return cls(expression)

    @property
    def finds_type(self) -> bool:
        """Whether it says what images show; else their folders do."""
        return TYPE in self.expression.groupindex

    def found(self, path: PurePath) -> dict[str, str]:
        """Return what its groups find in a path, but for those that find nothing."""
        match = self.expression.search(path.as_posix())
        return {} if match is None else {k: text for k, text in match.groupdict().items() if text}
