"""YAML without surprises: one document of plain values, and the line of each; everything else is a mistake.

Refused, each with its line: duplicate keys, anchors and aliases, tags, directives, keys that are not text, several
documents, an empty file, numbers that are not finite. Scalars follow the core schema of YAML 1.2, so `no` and
`2026-11-21` are text and `1e3` is a number.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml import events as ev
from ruamel.yaml.error import YAMLError

from data_contracts.language.problems import KeyPath, LineIndex, Problem, Problems, dotted, show, shown_path
from data_contracts.storage import sha256_bytes

DEEPEST: Final = 32  # levels of nesting; a task or contract needs 6

# Core schema of YAML 1.2.2, section 10.3.2
NULL = re.compile(r"(?:null|Null|NULL|~|)")
BOOLEAN = re.compile(r"(?:true|True|TRUE|false|False|FALSE)")
INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
NUMBER = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
LONGEST_INTEGER: Final = 30  # digits

KINDS: Final[dict[type, str]] = {
    type(None): "null",
    bool: "a boolean",
    int: "an integer",
    float: "a number",
    str: "text",
    list: "a list",
    dict: "keys and values",
}


@dataclass(frozen=True, slots=True)
class YamlFile:
    """A read file. `data` is None when nothing can be said about its content; `sha256` is of the bytes read."""

    file: str
    sha256: str
    data: dict[str, Any] | None
    index: LineIndex
    problems: tuple[Problem, ...]


def read_yaml(path: Path) -> YamlFile:
    """Read one YAML file strictly; never raises for what is in the file, nor for a file that is not there.

    Where a key comes twice the first value stays, so that the rest of the file can still be judged.
    """
    lines: dict[KeyPath, int] = {}
    problems = Problems(shown_path(path), LineIndex(lines))
    try:
        raw = path.read_bytes()
    except OSError as error:
        problems.add((), "unreadable file", expected="a YAML file", got=str(error.strerror), then="Check the path.")
        return YamlFile(problems.file, "", None, problems.lines, tuple(problems.found))
    data = _parse(raw, problems, lines)
    return YamlFile(problems.file, sha256_bytes(raw), data, problems.lines, tuple(problems.found))


def _parse(raw: bytes, problems: Problems, lines: dict[KeyPath, int]) -> dict[str, Any] | None:
    def broken(line: int, got: str) -> None:
        lines[()] = line
        problems.add((), "broken YAML", expected="one YAML document in UTF-8", got=got, then="Correct the line.")

    try:
        # pure: the C parser words its errors differently, and the files are small
        return _Builder(YAML(typ="safe", pure=True).parse(raw.decode()), problems, lines).document()
    except UnicodeDecodeError as error:
        broken(raw[: error.start].count(b"\n") + 1, f"byte {raw[error.start]:#04x}")
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        position = getattr(error, "position", 0)
        line = mark.line if mark is not None else raw.decode()[:position].count("\n")
        broken(line + 1, str(getattr(error, "problem", None) or getattr(error, "reason", None) or error))
    return None


@dataclass(slots=True)
class _Builder:
    """Plain values from the parser's events."""

    events: Iterator[Any]
    problems: Problems
    lines: dict[KeyPath, int]

    def document(self) -> dict[str, Any] | None:
        """The first document; a second one, and anything but a mapping, is a mistake."""
        next(self.events)  # start of the stream
        start = next(self.events)
        data: Any = None
        if isinstance(start, ev.DocumentStartEvent):
            self._directives(start)
            data = self._build(next(self.events), ())
            next(self.events)  # end of the document
            self._only_document(next(self.events))
        if data is None:
            self._add((), "empty file", expected="keys and values", got="nothing", then="Write the file.")
        elif not isinstance(data, dict):
            self._add(
                (), "wrong top level", expected="keys and values", got=KINDS[type(data)], then="Write `key: value`."
            )
        return data if isinstance(data, dict) else None

    def _directives(self, start: Any) -> None:
        if start.version or start.tags:
            got = "%YAML" if start.version else "%TAG"
            self._add((), "directive in the file", expected="plain YAML 1.2", got=got, then="Remove it.")

    def _only_document(self, event: Any) -> None:
        if isinstance(event, ev.DocumentStartEvent):
            self.lines[("---",)] = _line(event)
            self._add(("---",), "several documents", expected="one document in a file", got="another", then="Split it.")
            del self.lines[("---",)]

    def _build(self, event: Any, path: KeyPath) -> Any:
        self.lines.setdefault(path, _line(event))
        self._no_references(event, path)
        if isinstance(event, ev.AliasEvent):
            return None
        if isinstance(event, ev.ScalarEvent):
            return self._scalar(event, path)
        if len(path) >= DEEPEST:
            self._add(path, "deep nesting", expected=f"at most {DEEPEST} levels", got="more", then="Flatten it.")
            return self._skip()
        return self._list(path) if isinstance(event, ev.SequenceStartEvent) else self._mapping(path)

    def _list(self, path: KeyPath) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := next(self.events), ev.SequenceEndEvent):
            items.append(self._build(event, (*path, len(items))))
        return items

    def _mapping(self, path: KeyPath) -> dict[str, Any]:
        data: dict[str, Any] = {}
        while not isinstance(event := next(self.events), ev.MappingEndEvent):
            key = self._key(event, path)
            here = (*path, key)
            if key in data:
                self._duplicate(event, here)
            self.lines.setdefault(here, _line(event))
            value = self._build(next(self.events), here)
            data.setdefault(key, value)
        return data

    def _key(self, event: Any, path: KeyPath) -> str:
        """The key as text; a key of another kind is reported and spelled as it stands."""
        line = _line(event)
        key = self._build(event, (*path, f"key on line {line}"))
        self.lines.pop((*path, f"key on line {line}"), None)
        if isinstance(key, str):
            return key
        text = str(event.value) if isinstance(event, ev.ScalarEvent) else show(key)
        self.lines.setdefault((*path, text), line)
        self._add(
            (*path, text),
            f"key {text} in {dotted(path)}",
            expected="text",
            got=KINDS[type(key)],
            then=f'Quote it: "{text}".',
        )
        return text

    def _duplicate(self, event: Any, path: KeyPath) -> None:
        first = self.lines[path]
        self.lines[path] = _line(event)
        self._add(
            path,
            f"duplicate key {path[-1]!r} in {dotted(path[:-1])}",
            expected="each key once",
            got=f"it again (first on line {first})",
            then="Remove one.",
        )
        self.lines[path] = first

    def _no_references(self, event: Any, path: KeyPath) -> None:
        name = event.anchor
        if name is not None:
            mark = f"alias *{name}" if isinstance(event, ev.AliasEvent) else f"anchor &{name}"
            self._at(event, path, f"{mark} in {dotted(path)}", expected="plain values", got=mark, then="Write it out.")
        tag = None if isinstance(event, ev.AliasEvent) else event.tag
        if tag is not None:
            what = f"tag in {dotted(path)}"
            self._at(event, path, what, expected="plain values", got=f"tag {tag}", then="Remove the tag.")

    def _scalar(self, event: Any, path: KeyPath) -> Any:
        text = str(event.value)
        if event.style is not None:  # quoted, or a block of text
            return text
        if NULL.fullmatch(text):
            return None
        if BOOLEAN.fullmatch(text):
            return text.lower() == "true"
        if INTEGER.fullmatch(text) and len(text) <= LONGEST_INTEGER:
            return int(text, 0) if text[1:2] in ("o", "x") else int(text)
        if NUMBER.fullmatch(text) and math.isfinite(number := float(text)):
            return number
        if NUMBER.fullmatch(text) or NOT_FINITE.fullmatch(text):
            what = f"number in {dotted(path)}"
            self._at(event, path, what, expected="a finite number", got=show(text), then="Write another.")
        return text

    def _skip(self) -> None:
        depth = 1
        while depth:
            event = next(self.events)
            depth += isinstance(event, ev.CollectionStartEvent)
            depth -= isinstance(event, ev.CollectionEndEvent)

    def _at(self, event: Any, path: KeyPath, what: str, *, expected: str, got: str, then: str) -> None:
        """Report at the event's own line, which may lie below that of its key."""
        kept = self.lines.get(path)
        self.lines[path] = _line(event)
        self._add(path, what, expected=expected, got=got, then=then)
        self.lines[path] = kept if kept is not None else _line(event)

    def _add(self, path: KeyPath, what: str, *, expected: str, got: str, then: str) -> None:
        self.problems.add(path, what, expected=expected, got=got, then=then)


def _line(event: Any) -> int:
    line: int = event.start_mark.line + 1
    return line
