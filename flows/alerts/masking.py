"""What of a person's data may leave in an alert: hashes of ids, the kind of a value, declared words."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Final

MOST_ROWS: Final = 5
SHOWN: Final = ("interaction_id", "unit_id", "occurred_at", "action", "policy_version", "propensity", "reward")
IDS: Final = ("interaction_id", "unit_id", "episode_id")
LONGEST: Final = 500  # characters of a text

_EMAIL = re.compile(r"[^\s\"'<>(),;:=]+@[^\s\"'<>(),;:=]+")
_DATE = r"(?!\d{4}-\d{2}-\d{2})"
_NUMBER = re.compile(
    rf"(?<![\w.\-]){_DATE}\+?\d(?:[ \-/]?\d){{8,}}(?![\w])"
)  # nine digits: a phone, a card, an account
_QUOTED = re.compile(r"""(["'])(.{25,}?)\1""")  # a value of the log, quoted in a message, that is no short word


def mask_rows(rows: Collection[Mapping[str, object]], *, words: Collection[str]) -> tuple[dict[str, str], ...]:
    """At most five rows, each with the fields of a decision only; no observation is shown."""
    return tuple(mask_row(row, words=words) for row in list(rows)[:MOST_ROWS])


def mask_row(row: Mapping[str, object], *, words: Collection[str]) -> dict[str, str]:
    """The fields of a decision, as texts: ids as the first 8 digits of their SHA-256, moments to the minute, numbers
    to 4 digits, words where they are among the declared `words` (else their length).

    >>> mask_row({"unit_id": "ada@example.org", "action": "left", "age": 36}, words=("left",))
    {'unit_id': '#cfe00dde', 'action': 'left'}
    """
    return {name: _mask(name, row[name], words) for name in SHOWN if name in row}


def mask_text(text: str) -> str:
    """A message without e-mail addresses, long numbers and long quoted values: one line of at most 500 characters."""
    text = _EMAIL.sub("<address>", " ".join(text.split()))
    text = _QUOTED.sub(lambda match: f"<text of {len(match[2])} characters>", text)
    text = _NUMBER.sub("<number>", text)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def hash_id(value: object) -> str:
    """Enough of a hash to tell ids apart; whoever has the id finds it again."""
    return "#" + hashlib.sha256(str(value).encode()).hexdigest()[:8]


def _mask(name: str, value: object, words: Collection[str]) -> str:
    if value is None:
        return "none"
    if name in IDS:
        return hash_id(value)
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    if isinstance(value, bool | int | float):
        return f"{value:.4g}"
    return str(value) if str(value) in words else f"<text of {len(str(value))} characters>"
