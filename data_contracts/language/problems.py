"""Mistakes in a configuration file: each names file, line, expectation and what was found; all are collected."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from data_contracts.errors import ConfigurationError

KeyPath = tuple[str | int, ...]  # of a value in a YAML file, e.g. ("training", "seeds", 0)

N_EXAMPLES = 5
LONGEST_VALUE = 60  # characters of a found value that a message repeats
MANY_WORDS = 24  # of accepted words; beyond it the message shows half of them


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One mistake; `line` counts from 1."""

    file: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}"


@dataclass(frozen=True, slots=True)
class LineIndex:
    """Line of every key and list item of a file."""

    lines: Mapping[KeyPath, int]

    def line_of(self, path: KeyPath) -> int:
        """Line of the value at `path`, else of the closest parent that is there, else 1."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


@dataclass(slots=True)
class Problems:
    """The mistakes found so far in one file."""

    file: str
    lines: LineIndex
    found: list[Problem] = field(default_factory=list)

    def add(self, path: KeyPath, what: str, *, expected: str, got: str, then: str) -> None:
        """`<what> in <file, line>: expected <rule>, got <value>. <what to do next>`"""
        message = f"{what}: expected {expected}, got {got}. {then}"
        problem = Problem(self.file, self.lines.line_of(path), message)
        if problem not in self.found:
            self.found.append(problem)

    def unknown(
        self, path: KeyPath, *, kind: str, where: str, accepted: Collection[str], word: str = "", then: str = ""
    ) -> None:
        """A word (else the last part of `path`) that nobody reads, with the accepted ones and the closest of them."""
        word = word or str(path[-1])
        self.add(
            path,
            f"unknown {kind} {word!r} in {where}",
            expected=one_of(accepted),
            got=repr(word),
            then=then or hint(word, accepted) or "Remove it.",
        )


def hint(word: str, accepted: Iterable[str]) -> str:
    """`Did you mean …?` for the closest accepted word, empty when none is close."""
    by_folded = {candidate.casefold(): candidate for candidate in accepted}
    close = get_close_matches(word.casefold(), by_folded, n=1, cutoff=0.6)
    return f"Did you mean {by_folded[close[0]]!r}?" if close else ""


def one_of(accepted: Collection[str]) -> str:
    """`one of a, b, c`; a long list is cut in half and counted."""
    words = list(accepted)
    if not words:
        return "none"
    cut = words if len(words) <= MANY_WORDS else words[: MANY_WORDS // 2]
    rest = f" and {len(words) - len(cut)} more" if len(cut) < len(words) else ""
    return f"one of {', '.join(cut)}{rest}" if len(words) > 1 else words[0]


def show(value: object) -> str:
    """A found value as a message repeats it."""
    text = "null" if value is None else repr(value)
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}…"


def examples(values: Sequence[object]) -> str:
    """Up to five values and how many more there are."""
    more = f", … ({len(values)} in all)" if len(values) > N_EXAMPLES else ""
    return ", ".join(show(value) for value in values[:N_EXAMPLES]) + more


def as_list(value: object) -> list[Any]:
    """`value`, or nothing where it is no list: its type is judged elsewhere."""
    return value if isinstance(value, list) else []


def as_mapping(value: object) -> dict[str, Any]:
    """`value`, or nothing where it is no mapping: its type is judged elsewhere."""
    return value if isinstance(value, dict) else {}


def dotted(path: KeyPath) -> str:
    """`training.seeds[0]` of ("training", "seeds", 0); `the file` of the empty path."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.lstrip(".") or "the file"


def shown_path(path: Path) -> str:
    """`path` relative to the working folder when it lies below it."""
    absolute, here = path.absolute(), Path.cwd()
    return str(absolute.relative_to(here) if absolute.is_relative_to(here) else absolute)


def refuse(problems: Sequence[Problem]) -> ConfigurationError:
    """The error that carries all `problems` in `fields["problems"]` and shows the first five."""
    files = " and ".join(dict.fromkeys(problem.file for problem in problems))
    shown = "".join(f"\n  {problem}" for problem in problems[:N_EXAMPLES])
    rest = (
        f"\n  … and {len(problems) - N_EXAMPLES} more: `sluice check` lists all" if len(problems) > N_EXAMPLES else ""
    )
    count = "a mistake" if len(problems) == 1 else f"{len(problems)} mistakes"
    return ConfigurationError(f"{count} in {files}: expected none, got{shown}{rest}", problems=list(problems))
