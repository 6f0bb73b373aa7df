"""A contract changes: what breaks is named before it does harm, and all task data to date survives a new version."""

from __future__ import annotations

from pathlib import Path

from tests.end_to_end.cli import sluice
from tests.end_to_end.conftest import Site
from tests.tiny_task import rows, write_jsonl

OLD_X = "- {name: x, logicalType: number, required: true, tags: [observation]}"
NEW_X = (
    "- {name: score, logicalType: number, required: true, tags: [observation], "
    "customProperties: [{property: reads, value: {before: 2.0.0, rename: x}}]}"
)


def change(site: Site, *pairs: tuple[str, str]) -> None:
    contract = site.task.with_name("tiny.odcs.yaml")
    text = contract.read_text()
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    contract.write_text(text)


def new_rows() -> list[dict[str, object]]:
    return rows(600, seed=5, day=10, days=2)


def messages(site: Site) -> str:
    return "\n".join(p["message"] for p in sluice(site.home, "check", site.task, code=2).out["problems"])


def test_a_breaking_change_needs_a_new_major_version(site: Site) -> None:
    change(
        site, (OLD_X, NEW_X.replace(", customProperties: [{property: reads, value: {before: 2.0.0, rename: x}}]", ""))
    )
    assert "x" in messages(site)
    refused = sluice(site.home, "retrain", site.task, code=None).out["error"]
    assert refused["type"] == "ConfigurationError"


def test_all_task_data_survives_a_renamed_column_and_the_champion_still_decides(site: Site, tmp_path: Path) -> None:
    change(site, (OLD_X, NEW_X), ("version: 1.0.0", "version: 2.0.0"))
    assert site.run("check", site.task)["ok"]
    later = [{"score" if word == "x" else word: value for word, value in row.items()} for row in new_rows()]
    fresh = write_jsonl(tmp_path / "v2.jsonl", later)
    assert site.run("ingest", site.task, "--from", fresh)["n_accepted"] == 600
    assert site.run("validate", site.task)["level"] in ("ok", "warn")
    assert site.run("snapshot", site.task)["n_interactions"] == 3600
    observations = write_jsonl(tmp_path / "now.jsonl", [{"score": 2.0, "y": 0.0}, {"score": -2.0, "y": 0.0}])
    right, left = site.run("act", site.task, "--observations", observations)["rows"]
    champion = site.run("policies", site.task)["aliases"]["champion"]
    assert {right["policy_version"], left["policy_version"]} == {str(champion)}
    again = site.run("retrain", site.task)  # trains on rows of both versions, against a champion of the first
    assert again["verdict"] in ("hold", "promote", "block")
    assert site.run("verify", site.task)["ok"]


def test_a_column_that_the_champion_reads_cannot_be_dropped(site: Site) -> None:
    dropped = "      - {name: y, logicalType: number, required: true, tags: [observation]}\n"
    change(site, (dropped, ""), ("version: 1.0.0", "version: 2.0.0"))
    assert "column y, which champion v2 reads" in messages(site)
