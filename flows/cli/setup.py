"""Commands to begin with: init and check."""

from __future__ import annotations

from pathlib import Path

import click

from flows.cli.output import actor, answer, json_option


class Column(click.ParamType[tuple[str, str]]):
    """ROLE=COLUMN."""

    name = "role=column"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        role, separator, word = str(value).partition("=")
        if not (role and separator and word):
            self.fail(f"{value!r} is no ROLE=COLUMN, e.g. action=item_id", param, ctx)
        return role, word


@click.command(epilog="Example: sluice init clicks --from logs/2026-11-20.jsonl --column action=item_id")
@click.argument("name")
@click.option("--from", "sample", required=True, type=click.Path(path_type=Path), help="A file of the log.")
@click.option("--at", "folder", default=".", type=click.Path(path_type=Path), help="Where the two files go.")
@click.option("--column", "columns", multiple=True, type=Column(), help="ROLE=COLUMN, where the guess is wrong.")
@json_option
def init(name: str, sample: Path, folder: Path, columns: tuple[tuple[str, str], ...], as_json: bool) -> None:
    """Draft a task's two files from a sample of its log; what only a person can know is marked DECIDE."""
    from data_contracts.home import create_home
    from flows.init import init_task

    drafted = init_task(name, sample_path=sample, folder=folder, columns=dict(columns))
    home = create_home()
    answer(drafted.to_json(), as_json=as_json, text=drafted.text(), home=home)


@click.command(epilog="Example: sluice check open_bandit")
@click.argument("task")
@json_option
def check(task: str, as_json: bool) -> None:
    """Find every mistake in a task's two files, with file, line and what is accepted.

    In a store that has rows of the task: also what a changed contract breaks, and what the champion needs of it.
    """
    from data_contracts.home import find_home
    from flows.context import open_context
    from flows.tasks import task_problems
    from flows.versions import champion_problems

    home = find_home()
    problems = task_problems(task, home=home)
    if home is not None and not problems:
        problems = champion_problems(open_context(task, home=home, actor=actor()))
    found = [{"file": p.file, "line": p.line, "message": p.message} for p in problems]
    lines = [f"{p['file']}:{p['line']}: {p['message']}" for p in found]
    text = "\n".join(lines) or f"{task}: both files are fine"
    answer({"ok": not found, "problems": found}, as_json=as_json, text=text, home=home, code=2 if found else 0)


COMMANDS: tuple[click.Command, ...] = (init, check)
