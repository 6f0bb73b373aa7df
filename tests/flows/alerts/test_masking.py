"""Nothing that names a person leaves in an alert."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from flows.alerts.masking import SHOWN, hash_id, mask_row, mask_rows, mask_text

ROW = {
    "interaction_id": "order-2026-000123456",
    "unit_id": "ada@example.org",
    "occurred_at": datetime(2026, 11, 21, 3, 17, 59, tzinfo=UTC),
    "action": "left",
    "policy_version": "Ada Lovelace, 12 St James's Square",
    "propensity": 1 / 3,
    "reward": None,
    "note": "please call me back",
    "age": 36,
}


def test_a_masked_row_holds_hashes_kinds_and_declared_words_only() -> None:
    assert mask_row(ROW, words=("left", "right")) == {
        "interaction_id": hash_id("order-2026-000123456"),
        "unit_id": hash_id("ada@example.org"),
        "occurred_at": "2026-11-21 03:17",
        "action": "left",
        "policy_version": "<text of 34 characters>",
        "propensity": "0.3333",
        "reward": "none",
    }


def test_at_most_five_rows_and_no_observation() -> None:
    masked = mask_rows([ROW] * 9, words=())
    assert len(masked) == 5
    assert {name for row in masked for name in row} <= set(SHOWN)


def test_no_generated_value_survives() -> None:
    rng = np.random.default_rng()
    for _ in range(200):
        secret = "".join(rng.choice(list("abcdefghijklmnop@._-0123456789"), size=int(rng.integers(9, 40))))
        row = dict.fromkeys(ROW, secret)
        assert secret not in str(mask_row(row, words=("left",)))


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("got 'ada.lovelace@example.org' twice", "got '<address>' twice"),
        ("call +49 170 1234567 now", "call <number> now"),
        ("card 4111-1111-1111-1111", "card <number>"),
        ("note: 'I live at the corner of the street'", "note: <text of 34 characters>"),
        ("one\nline", "one line"),
    ],
)
def test_texts_lose_addresses_numbers_and_long_values(text: str, masked: str) -> None:
    assert mask_text(text) == masked


@pytest.mark.parametrize(
    "text",
    [
        "48.1 hours, the last at 2026-11-19T03:00:00+00:00",
        "from 2026-11-21 03:00 to 2026-11-22 04:00",
        "5,000,000 rows at most 3, log10 e 73.71",
        "mean 0.123456789012 [0.8743, 0.9023]",
        "run 20261121T154346-aa69f4 of 'tiny'",
    ],
)
def test_what_on_call_needs_stays(text: str) -> None:
    assert mask_text(text) == text


def test_a_long_text_is_cut() -> None:
    assert len(mask_text("word " * 1000)) == 500
