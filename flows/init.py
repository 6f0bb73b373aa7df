"""`sluice init`: a first contract and task file from a sample of a log; a comment marks what a person must decide."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from data_contracts.errors import InputError, UsageError
from data_contracts.home import check_name
from data_contracts.inference.contract_draft import FILLS, draft_contract, is_identifier
from data_contracts.inference.roles import NAMES, Roles, guess_roles
from data_contracts.inference.sample import Sample, read_sample
from data_contracts.storage import create_exclusive
from flows.sample_trial import Trial, sample_first_day, try_out
from flows.task_draft import draft_task
from policies.first_day import FirstDay

MOST_ACTIONS: Final = 200  # beyond it the column is hardly a set of actions


@dataclass(frozen=True, slots=True)
class Drafted:
    """The two files, what is left to decide, what the log lacks, and how the sample fares under them."""

    contract: Path
    task: Path
    roles: dict[str, str]  # reserved name -> the log's column
    decisions: tuple[tuple[str, int, str], ...]  # file, line, what a person must decide
    lacking: tuple[str, ...]  # fields to add to the logging service
    trial: Trial
    first_day: FirstDay | None  # what the sample tells already, where nothing can gate yet

    def to_json(self) -> dict[str, Any]:
        decisions = [{"file": file, "line": line, "decide": what} for file, line, what in self.decisions]
        return {
            "contract": str(self.contract),
            "task": str(self.task),
            "roles": self.roles,
            "decisions": decisions,
            "lacking": list(self.lacking),
            "trial": asdict(self.trial),
            "first_day": self.first_day.to_json() if self.first_day is not None else None,
        }

    def text(self) -> str:
        """What a person reads: the files, the guesses, the trial, and what to do next."""
        trial = self.trial
        lines = [f"{self.contract} and {self.task}, drafted from {trial.n_read:,} rows", "  read as:"]
        lines += [f"    {role:<22} {column}" for role, column in self.roles.items()]
        lines += [f"  under these two files {trial.n_accepted:,} of the {trial.n_read:,} rows are accepted"]
        lines += [f"    quarantined {n:,}: {reason}" for reason, n in trial.reasons.items()]
        lines += ["  rows by action: " + ", ".join(f"{name} {n:,}" for name, n in list(trial.actions.items())[:12])]
        lines += ["  to decide:", *(f"    {Path(file).name}:{line}: {what}" for file, line, what in self.decisions)]
        if self.first_day is not None:
            lines += [f"  {line}" for line in self.first_day.text().splitlines()]
        elif self.lacking:
            lines += ["  the log would be worth more with:", *(f"    {what}" for what in self.lacking)]
        return "\n".join([*lines, f"  next: sluice check {self.task}, then sluice retrain {self.task}"])


def init_task(name: str, *, sample_path: Path, folder: Path, columns: Mapping[str, str]) -> Drafted:
    """Write NAME.odcs.yaml and NAME.yaml into `folder`; `columns` maps roles to columns that a person has named.

    Raises UsageError when a file is there already or a name does not fit, InputError when the sample cannot be read
    or lacks what cannot be made up.
    """
    check_name(name, what="task name")
    sample = read_sample(sample_path)
    roles = _roles(sample, columns)
    contract, task = folder / f"{name}.odcs.yaml", folder / f"{name}.yaml"
    _require_absent(contract, task)
    texts = {contract: draft_contract(name, sample, roles), task: draft_task(name, sample, roles, folder=folder)}
    folder.mkdir(parents=True, exist_ok=True)
    for path, text in texts.items():
        create_exclusive(path, text.encode())
    trial = try_out(task, sample_path)
    return Drafted(
        contract=contract,
        task=task,
        roles=roles.found,
        decisions=tuple(_decisions(texts)),
        lacking=tuple(_lacking(roles)),
        trial=trial,
        first_day=None if "propensity" in roles.found else sample_first_day(task, trial, present=roles.found),
    )


def _roles(sample: Sample, named: Mapping[str, str]) -> Roles:
    unknown = [role for role in named if role not in NAMES]
    absent = [word for word in named.values() if sample.column(word) is None]
    if unknown or absent:
        expected = f"one of {', '.join(NAMES)}" if unknown else f"one of {', '.join(c.name for c in sample.columns)}"
        raise UsageError(f"bad --column: expected {expected}, got {(unknown or absent)[0]!r}. Correct it.")
    others = replace(sample, columns=tuple(c for c in sample.columns if c.name not in named.values()))
    guessed = guess_roles(others)
    found = {**{role: word for role, word in guessed.found.items() if role not in named}, **named}
    roles = Roles(found, tuple(role for role in guessed.missing if role not in named))
    _require_possible(sample, roles)
    return roles


def _require_possible(sample: Sample, roles: Roles) -> None:
    names = ", ".join(c.name for c in sample.columns[:20])
    for role in roles.missing:
        if role not in FILLS:
            what = {"action": "what was chosen", "occurred_at": "when it was decided (an ISO 8601 time)"}[role]
            raise InputError(
                f"no column {role} in {sample.path}: expected one that says {what}, got {names}. "
                f"Name it with --column {role}=COLUMN."
            )
    if lists := [c.name for c in sample.columns if c.kind == "array" and roles.role_of(c.name) is None]:
        raise InputError(
            f"list in column {lists[0]} of {sample.path}: expected one value a row, got lists. Log one column for each "
            "place, or name it with --column action_probabilities=COLUMN if it is the distribution over the actions."
        )
    action = sample.column(roles.found["action"])
    if action is not None and (action.n_distinct > MOST_ACTIONS or is_identifier(action)):
        raise InputError(
            f"too many actions in column {action.name} of {sample.path}: expected at most {MOST_ACTIONS}, got "
            f"{action.n_distinct:,}. Name the column that holds the decision with --column action=COLUMN."
        )


def _decisions(texts: Mapping[Path, str]) -> list[tuple[str, int, str]]:
    """(file, line, what) of every comment that asks a person."""
    found = []
    for path, text in texts.items():
        for number, line in enumerate(text.splitlines()[3:], start=4):  # the first lines explain the mark
            _, mark, what = line.partition("DECIDE: ")
            if mark:
                found.append((str(path), number, what))
    return found


def _lacking(roles: Roles) -> list[str]:
    """Fields to add to the logging service, the most useful first."""
    wanted = {
        "propensity": "propensity: the probability with which the logged action was taken; without it nothing can gate",
        "action_probabilities": "action_probabilities: the whole distribution, in the order of the actions",
        "policy_version": "policy_version: which deployed policy decided",
        "interaction_id": "interaction_id: a unique id of each decision, so that a file read twice counts once",
        "unit_id": "unit_id: who was acted on, so that statistics can tell users apart",
        "reward": "reward: in the row, or in a file of outcomes by interaction_id",
    }
    return [text for role, text in wanted.items() if role not in roles.found]


def _require_absent(*paths: Path) -> None:
    there = [path for path in paths if path.exists()]
    if there:
        raise UsageError(
            f"file {there[0]} exists: expected a new name, got one in use. Edit it, or choose another name or --at."
        )
