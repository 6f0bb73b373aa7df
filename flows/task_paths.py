"""Paths in a task file: globs of the source, and the table of action features."""

from __future__ import annotations

import csv
import glob
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from data_contracts.errors import UsageError
from data_contracts.language.problems import Problem, show, shown_path

URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
BRACKETS = re.compile(r"\[!?\]?[^\]]*\]")


def wrong_pattern(pattern: str) -> str:
    """What was expected of a path or glob where `pattern` is none; empty when it is fine."""
    if URL.match(pattern):
        return "a local path or glob (object-store URLs are not supported yet)"
    if not pattern.strip() or not pattern.isprintable():
        return "a path or glob"
    if pattern.startswith("~"):
        return "a path without ~"
    if "[" in BRACKETS.sub("", pattern):
        return "a glob whose brackets are closed"
    if any("**" in part and part != "**" for part in pattern.split("/")):
        return "a glob with ** as a whole folder"
    return ""


def expand(pattern: str, *, base: Path | None = None) -> list[Path]:
    """Files that a path or glob names, sorted; a path without wildcards stays, whether or not it is there.

    `base`: what the pattern is relative to, the working folder by default. Raises UsageError when it is no pattern.
    """
    literal = base / pattern if base is not None else Path(pattern)
    if os.path.isfile(literal):
        return [literal]
    expected = wrong_pattern(pattern)
    if expected:
        raise UsageError(f"pattern {show(pattern)}: expected {expected}, got {show(pattern)}. Correct it.")
    if not glob.has_magic(pattern):
        return [literal]
    root = glob.escape(str(base)) if base is not None else ""
    return sorted(
        Path(found) for found in glob.glob(os.path.join(root, pattern), recursive=True) if os.path.isfile(found)
    )


def feature_problems(path: Path) -> list[Problem]:
    """Mistakes of a table of action features: CSV with column `action`, at least one more, each action once."""
    file = shown_path(path)
    try:
        return [Problem(file, line, f"{message}. Correct the file.") for line, message in _feature_problems(path)]
    except (UnicodeDecodeError, csv.Error) as error:
        return [Problem(file, 1, f"unreadable action features: expected CSV in UTF-8, got {error}. Correct the file.")]


def missing_actions(path: Path, names: Sequence[str]) -> list[str]:
    """Declared actions that a sound table of features has no row for."""
    with path.open(newline="", encoding="utf-8") as stream:
        found = {row["action"] for row in csv.DictReader(stream)}
    return [name for name in names if name not in found]


def _feature_problems(path: Path) -> Iterator[tuple[int, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        reader = csv.reader(stream, strict=True)
        header = next(reader, [])
        if "action" not in header or len(header) < 2 or len(set(header)) < len(header):
            got = ", ".join(header) or "nothing"
            yield 1, f"header of action features: expected column action and at least one more, each once, got {got}"
            return
        seen: dict[str, int] = {}
        for row in reader:
            line = reader.line_num
            if len(row) != len(header):
                yield line, f"row of action features: expected {len(header)} cells, got {len(row)}"
                continue
            action = row[header.index("action")]
            if seen.setdefault(action, line) != line:
                yield line, f"action of action features: expected each once, got {action!r} again (line {seen[action]})"
