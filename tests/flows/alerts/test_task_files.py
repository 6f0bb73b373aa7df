"""The alert route in a task file: mistakes with their line; the rows that an alert shows; how old the log is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from data_contracts.home import Home, create_home
from data_contracts.newest import newest_interaction
from flows.alerts.examples import example_rows
from flows.alerts.masking import hash_id
from flows.alerts.route import AlertRoute
from flows.context import Context, open_context
from flows.ingest import ingest_files
from flows.tasks import load_task, task_problems
from tests.tiny_task import rows, write_jsonl, write_task

KEY = "0123456789abcdef0123456789abcdef"


def with_route(folder: Path, route: str) -> Path:
    task = write_task(folder)
    task.write_text(task.read_text().replace("alerts: {webhooks: []}", f"alerts: {route}"))
    return task


@pytest.mark.parametrize(
    ("route", "said"),
    [
        ("{webhooks: ['ftp://x']}", "expected an http or https URL, got 'ftp://x'"),
        ("{alertmanager: {urls: ['am:9093']}}", "URL in alerts.alertmanager.urls"),
        ("{pagerduty: {routing_key_env: PAGER, url: pager}}", "URL in alerts.pagerduty.url"),
        ("{pagerduty: {routing_key_env: a key}}", "routing_key_env"),
        ("{repeat: {page: PT0S}}", "alerts.repeat.page"),
        ("{apprise: {urls: 'slack://x'}}", "urls"),
        ("{resolve_after: 0}", "resolve_after"),
    ],
)
def test_a_route_that_cannot_work_is_a_problem_with_its_line(tmp_path: Path, route: str, said: str) -> None:
    task = with_route(tmp_path, route)
    line = task.read_text().splitlines().index(f"alerts: {route}") + 1
    found = [p for p in task_problems(task) if said in p.message]
    assert found, [p.message for p in task_problems(task)]
    assert {p.line for p in found} == {line}


def test_a_key_in_the_place_of_its_variable_is_found_and_not_repeated(tmp_path: Path) -> None:
    key = KEY.replace("0", "x", 1)
    [problem] = task_problems(with_route(tmp_path, f"{{pagerduty: {{routing_key_env: {key}}}}}"))
    assert "what looks like the key itself" in problem.message
    assert key not in problem.message


def test_a_route_in_full(tmp_path: Path) -> None:
    route = (
        "{webhooks: ['https://a/'], pagerduty: {routing_key_env: SLUICE_PAGERDUTY_KEY}, "
        "alertmanager: {urls: ['http://am:9093']}, apprise: {urls_env: SLUICE_APPRISE_URLS}, "
        "repeat: {page: PT2H, ticket: P2D}, resolve_after: 2, refusals: 5}"
    )
    read = load_task(with_route(tmp_path, route))[0].alerts
    assert (read.repeat.page, read.resolve_after, read.refusals) == (timedelta(hours=2), 2, 5)
    assert load_task(write_task(tmp_path))[0].alerts == AlertRoute()


@pytest.fixture
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    """Twenty rows of the tiny task, the newest on 11 October 2026."""
    monkeypatch.setenv("SLUICE_HOME", str(tmp_path / "home"))
    context = open_context(write_task(tmp_path / "task"), home=create_home(), actor="ada")
    log = write_jsonl(tmp_path / "log.jsonl", rows(20, seed=3))
    ingest_files(context, [log], outcomes=False, now=datetime(2026, 11, 21, tzinfo=UTC))
    return context


def test_rows_are_found_by_id_and_masked(stored: Context) -> None:
    shown = example_rows(stored, ["s3-7", "s3-8", "nobody"])
    assert {row["interaction_id"] for row in shown} == {hash_id("s3-7"), hash_id("s3-8")}
    assert set(shown[0]) == {"interaction_id", "unit_id", "occurred_at", "action", "policy_version", "propensity"}
    assert (shown[0]["policy_version"], shown[0]["propensity"]) == ("uniform", "0.3333")
    assert "u3-7" not in str(shown)
    assert len(example_rows(stored, [f"s3-{i}" for i in range(20)])) == 5


def test_rows_of_a_store_that_cannot_be_read_are_left_out(stored: Context, tmp_path: Path) -> None:
    for file in (stored.home.table("tiny", "interactions")).rglob("*.parquet"):
        file.write_bytes(file.read_bytes()[:-1])
    assert example_rows(stored, ["s3-7"]) == ()


def test_the_newest_decision_is_not_one_of_the_future(stored: Context) -> None:
    moments = sorted(datetime.fromisoformat(str(row["occurred_at"])) for row in rows(20, seed=3))
    assert newest_interaction(stored.home, "tiny", now=moments[-1]) == moments[-1]
    assert newest_interaction(stored.home, "tiny", now=moments[9] + timedelta(seconds=1)) == moments[9]
    assert newest_interaction(stored.home, "tiny", now=moments[0] - timedelta(days=1)) is None
    assert newest_interaction(Home(stored.home.root), "other", now=moments[-1]) is None
