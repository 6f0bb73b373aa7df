"""Versions of a contract: MAJOR.MINOR.PATCH. What older rows mean may change with the first number only."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from data_contracts.errors import ConfigurationError

VERSION: Final = re.compile(r"v?([0-9]{1,6})(?:\.([0-9]{1,6}))?(?:\.([0-9]{1,6}))?")
MAJOR_VERSION: Final = re.compile(r"([0-9]{1,6})\.0\.0")


class Version(NamedTuple):
    """Ordered as numbers; what a version leaves out is 0."""

    major: int
    minor: int
    patch: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"

    @property
    def next_major(self) -> Version:
        return Version(self.major + 1, 0, 0)


def is_version(text: str) -> bool:
    """Can versions of this spelling be compared?"""
    return VERSION.fullmatch(text) is not None


def version_of(text: str) -> Version:
    """Read a version; raises ConfigurationError for a text that is none.

    >>> version_of("2.1") < version_of("v10"), str(version_of("2.1").next_major)
    (True, '3.0.0')
    """
    found = VERSION.fullmatch(text)
    if found is None:
        raise ConfigurationError(
            f"version {text!r} of a contract: expected MAJOR.MINOR.PATCH, e.g. 1.0.0, got another text. Correct it."
        )
    return Version(*(int(part or 0) for part in found.groups()))
