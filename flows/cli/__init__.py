"""`sluice`: every command, its help, its JSON and its exit code.

Exit codes: 0 ok · 1 error · 2 usage · 3 contract violated · 4 the gate refused · 5 busy.
Importing this package loads nothing heavy: each command imports what it needs when it runs.
"""

from __future__ import annotations

import click

from flows.cli import corrections, data, operations, policies, runs, setup
from flows.cli.output import run_command
from flows.settings import quiet_libraries


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="sluice")
def cli() -> None:
    """Retrain decision policies from logged interactions; let a new one through only when the log proves it better.

    \b
    sluice demo                                   watch two shipped tasks go through the loop
    sluice init NAME --from log.jsonl             draft a task's two files from a sample of its log
    sluice check TASK                             find every mistake in a task's two files
    sluice retrain TASK --from log.jsonl          the whole run: ingest, validate, train, gate, report
    sluice act TASK --observations rows.jsonl     let the champion decide

    TASK is a shipped name (open_bandit, digits_bandit) or the path of a task file.
    """


for module in (runs, setup, data, corrections, policies, operations):
    for command in module.COMMANDS:
        cli.add_command(command)


def main() -> None:
    """Entry point of the console script."""
    quiet_libraries()
    run_command(cli)
