"""One way to answer: text for people, one JSON object for programs, errors with the right exit code, progress bars."""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from data_contracts.errors import SluiceError
from data_contracts.storage import canonical_json

if TYPE_CHECKING:
    from data_contracts.home import Home
    from flows.context import Context

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")


def run_command(group: click.Group) -> None:
    """Run the command line and exit with its code; errors go to stderr, and to stdout as JSON with --json."""
    try:
        code = group.main(standalone_mode=False)
    except click.exceptions.Exit as done:
        code = done.exit_code
    except click.ClickException as error:
        error.show()
        code = 2
    except click.Abort:
        code = 130
    except SluiceError as error:
        _show_error(error)
        code = error.exit_code
    except Exception as error:  # the last line of defence: named, with its trace, never swallowed
        traceback.print_exc()
        _show_error(error)
        code = 1
    with contextlib.suppress(BrokenPipeError):  # whoever read the answer may have left
        sys.stdout.flush()
        sys.stderr.flush()
    # Native threads of the data libraries can abort a busy interpreter's shutdown (seen once: exit -6 after a
    # right answer); all state is committed by now, so leave without it.
    os._exit(code if isinstance(code, int) else 0)


def answer(payload: dict[str, Any], *, as_json: bool, text: str, home: Home | None = None, code: int = 0) -> None:
    """Print the answer and exit with `code`; JSON carries the store's folder."""
    if as_json:
        full = {**payload, "home": str(home.root) if home else None}
        click.echo(canonical_json(full).decode(), nl=False)
    else:
        click.echo(text)
    if code:
        raise click.exceptions.Exit(code)


def open_task(task: str, *, create: bool = False) -> Context:
    """The task in the store in force (made first, where the command may make one)."""
    from data_contracts.home import create_home, require_home
    from flows.context import open_context

    if create:
        from flows.tasks import load_task

        load_task(task)  # a wrong name or file must not leave an empty store behind
    return open_context(task, home=create_home() if create else require_home(), actor=actor())


def actor() -> str:
    """Who gives the command, for the history."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def utc_now() -> datetime:
    return datetime.now(UTC)


class Moment(click.ParamType[datetime]):
    """An ISO 8601 date (midnight UTC) or a date and time with an offset."""

    name = "moment"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            parsed = datetime.fromisoformat(value)
        except ValueError:
            self.fail(
                f"{value!r} is no ISO 8601 date or time, e.g. 2026-11-21 or 2026-11-21T03:00:00+00:00", param, ctx
            )
        if parsed.tzinfo is None and re.fullmatch(r"\d{4}-\d{2}-\d{2}", value):
            return parsed.replace(tzinfo=UTC)
        if parsed.tzinfo is None:
            self.fail(f"{value!r} has no offset: write e.g. {value}+00:00", param, ctx)
        return parsed.astimezone(UTC)


DURATION_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class Duration(click.ParamType[timedelta]):
    """A number and a unit: 30m, 12h, 7d, 2w."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        if isinstance(value, timedelta):
            return value
        match = re.fullmatch(r"(\d+)([mhdw])", value)
        if match is None or int(match[1]) == 0:
            self.fail(f"{value!r} is no duration, e.g. 30m, 12h, 7d, 2w", param, ctx)
        return timedelta(**{DURATION_UNITS[match[2]]: int(match[1])})


def outline(value: object, depth: int = 1) -> list[str]:
    """Nested facts as indented lines; empty ones are left out."""
    pad = "  " * depth
    if isinstance(value, dict):
        lines = []
        for key, inner in value.items():
            if isinstance(inner, dict | list) and inner and not _is_flat(inner):
                lines += [f"{pad}{key}:", *outline(inner, depth + 1)]
            elif inner not in (None, [], {}, ""):
                lines.append(f"{pad}{key}: {_shorten(inner) if isinstance(inner, list) else inner}")
        return lines
    if isinstance(value, list):
        return [line for item in value for line in (f"{pad}-", *outline(item, depth + 1))]
    return [f"{pad}{value}"]


def _shorten(items: list[object], most: int = 12) -> str:
    shown = ", ".join(map(str, items[:most]))
    return shown if len(items) <= most else f"{shown}, … {len(items) - most:,} more"


def _is_flat(value: object) -> bool:
    return isinstance(value, list) and not any(isinstance(item, dict | list) for item in value)


@contextmanager
def progress_bars(*, as_json: bool) -> Iterator[Callable[[str, int, int | None], None] | None]:
    """Bars on a terminal (stderr); nothing where nobody watches."""
    if as_json or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description:<16}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        known: dict[str, Any] = {}

        def show(label: str, done: int, total: int | None) -> None:
            if label not in known:
                known[label] = bars.add_task(label, total=total)
            bars.update(known[label], completed=done, total=total)

        yield show


def _show_error(error: Exception) -> None:
    name = type(error).__name__
    click.echo(f"sluice: {name}: {error}", err=True)
    if "--json" in sys.argv:
        fields = error.fields if isinstance(error, SluiceError) else {}
        payload = {"error": {"type": name, "message": str(error), "fields": _plain(fields)}}
        click.echo(json.dumps(payload, sort_keys=True))


def _plain(value: object) -> object:
    return json.loads(json.dumps(value, default=lambda v: v.__dict__ if hasattr(v, "__dict__") else str(v)))
