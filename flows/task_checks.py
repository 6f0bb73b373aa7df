"""What must hold between the parts of a task file, its contract and the files it names."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from data_contracts.contract import Column, Contract
from data_contracts.home import NAME
from data_contracts.language.problems import (
    KeyPath,
    Problems,
    as_mapping,
    dotted,
    examples,
    hint,
    one_of,
    show,
    shown_path,
)
from data_contracts.propensities.design_table import parse_design
from data_contracts.propensities.propensity_settings import PropensitySettings
from data_contracts.rewards.reward_settings import RewardSettings
from flows.gate_checks import check_gate
from flows.task_paths import feature_problems, missing_actions, wrong_pattern
from flows.task_settings import Actions, AlertRoute, BehaviorPolicy, Cadence, DeclaredPolicy, Source
from policies.algorithms import REFERENCES, TrainingSettings
from policies.gate.settings import GateSettings

SUM_TOLERANCE: Final = 1e-9  # on declared probabilities
PAGERDUTY_KEY: Final = re.compile(r"[0-9A-Za-z]{32}")
WINDOW: Final[KeyPath] = ("reward", "attribution_window")
LARGEST_SEED: Final = 2**32 - 1  # NumPy's and torch's generators both take it


@dataclass(frozen=True, slots=True)
class TaskFile:
    """A task file under examination; `parts` are the fields of Task that could be read, `contract` has no mistake."""

    path: Path
    data: dict[str, Any]
    parts: dict[str, Any]
    wrong: frozenset[KeyPath]  # values that did not fit: their defaults stand in `parts`
    contract: Contract | None
    problems: Problems

    def add(self, path: KeyPath, what: str, *, expected: str, got: str, then: str) -> None:
        self.problems.add(path, what, expected=expected, got=got, then=then)

    @property
    def action_names(self) -> tuple[str, ...] | None:
        actions = self.parts.get("actions")
        return actions.names if isinstance(actions, Actions) else None


def check_task(file: TaskFile) -> None:
    """Report every mistake that no single value shows."""
    _check_name(file)
    for part in file.parts.values():
        if isinstance(part, Actions):
            _check_actions(file, part)
        elif isinstance(part, Source):
            _check_source(file, part)
        elif isinstance(part, DeclaredPolicy):
            _check_champion(file, part)
        elif isinstance(part, RewardSettings):
            _check_reward(file, part)
        elif isinstance(part, TrainingSettings):
            _check_training(file, part)
        elif isinstance(part, Cadence):
            _check_cadence(file, part)
        elif isinstance(part, GateSettings):
            reward = file.parts.get("reward")
            known = reward if isinstance(reward, RewardSettings) else RewardSettings()
            training = file.parts.get("training")
            bound = training.head.bound if isinstance(training, TrainingSettings) else None
            check_gate(file.add, part, contract=file.contract, reward=known, bound=bound)
        elif isinstance(part, PropensitySettings):
            _check_partial_support(file, part)
        elif isinstance(part, AlertRoute):
            _check_alerts(file, part)
    for version, policy in (file.parts.get("behavior_policies") or {}).items():
        _check_behavior(file, version, policy)
    _check_file(file, ("truth",), file.parts.get("truth"))


def _check_name(file: TaskFile) -> None:
    name, stem = file.data.get("task"), file.path.stem
    if not isinstance(name, str):
        return
    if not NAME.fullmatch(name):
        then = "Rename task and file."
        expected = "lower-case letters, digits and underscores, a letter first, at most 63"
        file.add(("task",), "name of the task", expected=expected, got=show(name), then=then)
    elif name != stem:
        then = f"Rename the file to {name}.yaml, or the task."
        file.add(("task",), "name of the task", expected=f"{stem}, as the file is called", got=show(name), then=then)


def _check_actions(file: TaskFile, actions: Actions) -> None:
    _check_each_once(file, ("actions", "names"), actions.names, "action")
    for i, name in enumerate(actions.names):
        if not name.strip():
            file.add(("actions", "names", i), "name of an action", expected="a word", got=show(name), then="Name it.")
    if file.contract is not None and (column := file.contract.column("action")) is not None:
        _check_action_words(file, actions.names, column)
    _check_features(file, actions)


def _check_action_words(file: TaskFile, names: Sequence[str], column: Column) -> None:
    """The log's words, as the store spells them, must be those of the task."""
    for i, name in enumerate(names):
        expected = ""
        if column.logical_type == "integer" and not re.fullmatch(r"0|-?[1-9][0-9]*", name):
            expected = "an integer, as the contract's column action has"
        elif column.valid_values is not None and name not in column.valid_values:
            expected = f"{one_of(column.valid_values)}, as the contract says"
        if expected:
            file.add(("actions", "names", i), "declared action", expected=expected, got=show(name), then="Correct one.")


def _check_each_once(file: TaskFile, path: KeyPath, values: Sequence[object], what: str) -> None:
    for i, value in enumerate(values):
        if value in values[:i]:
            here = (*path, i)
            file.add(
                here, f"{what} in {dotted(path)}", expected="each once", got=f"{show(value)} again", then="Remove it."
            )


def _check_features(file: TaskFile, actions: Actions) -> None:
    here = ("actions", "features")
    path = _check_file(file, here, actions.features)
    if path is None:
        return
    wrong = feature_problems(path)
    file.problems.found.extend(wrong)
    missing = [] if wrong else missing_actions(path, actions.names)
    if missing:
        got, then = f"none for {examples(missing)}", f"Complete {shown_path(path)}."
        file.add(here, "features of the actions", expected="a row for every declared action", got=got, then=then)


def _check_file(file: TaskFile, path: KeyPath, relative: object) -> Path | None:
    """The file that the task names, if it is there."""
    if not isinstance(relative, str):
        return None
    found = file.path.parent / relative
    if os.path.isfile(found):  # false also for a name that no file can have
        return found
    then = "Paths are relative to the task file."
    file.add(path, f"file of {dotted(path)}", expected="a file that exists", got=show(relative), then=then)
    return None


def _check_source(file: TaskFile, source: Source) -> None:
    for kind, patterns in (("interactions", source.interactions), ("outcomes", source.outcomes)):
        for i, pattern in enumerate(patterns):
            wrong = wrong_pattern(pattern)
            if wrong:
                what, then = f"pattern in source.{kind}", "Paths are relative to the task file."
                file.add(("source", kind, i), what, expected=wrong, got=show(pattern), then=then)


def _check_champion(file: TaskFile, champion: DeclaredPolicy) -> None:
    names = file.action_names
    if champion.constant is not None and names is not None and champion.constant not in names:
        then = hint(champion.constant, names) or "Declare it, or name another."
        here = ("champion", "constant")
        file.add(here, "constant action", expected=one_of(names), got=show(champion.constant), then=then)
    if champion.probabilities is not None:
        _check_probabilities(file, ("champion", "probabilities"), champion.probabilities)
    _check_file(file, ("champion", "onnx"), champion.onnx)


def _check_behavior(file: TaskFile, version: str, policy: BehaviorPolicy) -> None:
    path: KeyPath = ("behavior_policies", version)
    if policy.probabilities is not None:
        _check_probabilities(file, (*path, "probabilities"), policy.probabilities)
    _check_design(file, (*path, "design"), policy.design)
    column = {"propensity": "propensity", "distribution": "action_probabilities", None: None}[policy.logged]
    if column is not None and file.contract is not None and file.contract.column(column) is None:
        expected, then = f"column {column} in the contract", "Declare it there."
        file.add((*path, "logged"), f"source of {version}'s propensities", expected=expected, got="none", then=then)


def _check_design(file: TaskFile, here: KeyPath, design: str | None) -> None:
    """The design's own mistakes stand with the line of its file."""
    path = _check_file(file, here, design)
    if path is not None and file.contract is not None and file.action_names is not None:
        file.problems.found.extend(parse_design(path, actions=file.action_names, columns=file.contract.observation)[1])


def _check_partial_support(file: TaskFile, settings: PropensitySettings) -> None:
    declared = file.parts.get("behavior_policies") or {}
    for i, version in enumerate(settings.partial_support):
        if version not in declared and not version.isdigit():  # a number may be a version of the registry
            here, then = ("propensities", "partial_support", i), hint(version, declared) or "Declare it, or remove it."
            expected = one_of(sorted(declared)) if declared else "a declared behavior policy"
            file.add(here, "version of partial support", expected=expected, got=show(version), then=then)


def _check_probabilities(file: TaskFile, path: KeyPath, probabilities: dict[str, float]) -> None:
    """A distribution over exactly the declared actions."""
    where = dotted(path)
    for action, p in probabilities.items():
        if not 0 <= p <= 1:
            file.add((*path, action), f"probability in {where}", expected="[0, 1]", got=f"{p:g}", then="Correct it.")
    total = sum(probabilities.values())
    if abs(total - 1) > SUM_TOLERANCE:
        file.add(path, f"sum of {where}", expected="1 within 1e-09", got=f"{total:.12g}", then="Correct it.")
    names = file.action_names
    if names is None:
        return
    for action in probabilities:
        if action not in names:
            file.problems.unknown((*path, action), kind="action", where=where, accepted=names)
    missing = [name for name in names if name not in probabilities]
    if missing:
        got = f"none for {examples(missing)}"
        file.add(
            path, f"probabilities in {where}", expected="one for every action", got=got, then="Add them; 0 is fine."
        )


def _check_reward(file: TaskFile, reward: RewardSettings) -> None:
    if file.contract is None or ("reward",) in file.wrong:
        return
    if file.contract.column("reward") is None:
        _check_arrival(file, reward)
    _check_default(file, reward, file.contract)
    _check_channels(file, reward, file.contract)


def _check_arrival(file: TaskFile, reward: RewardSettings) -> None:
    """Rewards come as outcomes: later than their interaction, and for some interactions never."""
    raw = as_mapping(file.data.get("reward"))
    for channel in reward.reward_channels:
        own = ("reward", "channels", channel.name, "window")
        window = own if own[2] in reward.channels and reward.channels[own[2]].window is not None else WINDOW
        if channel.window <= timedelta(0) and window not in file.wrong:
            then = "Say how long after the decision an outcome still counts, e.g. P7D."
            file.add(window, "attribution window", expected="above 0: rewards come as outcomes", got="0", then=then)
    if "default" not in raw and all(channel.default is None for channel in reward.reward_channels):
        then = "Write default: 0 where silence means nothing happened, default: null where it means unknown."
        what = "reward of a decision without an outcome"
        file.add(("reward", "default"), what, expected="default: a number or null", got="none", then=then)


def _check_default(file: TaskFile, reward: RewardSettings, contract: Contract) -> None:
    """Where the reward has no bounds of its own, the contract's hold for its default too."""
    low, high = contract.reward_bounds
    if reward.bounds is None and reward.default is not None and not low <= reward.default <= high:
        expected, got = f"a number in [{low:g}, {high:g}], the contract's bounds", f"{reward.default:g}"
        file.add(("reward", "default"), "default reward", expected=expected, got=got, then="Correct one of them.")


def _check_channels(file: TaskFile, reward: RewardSettings, contract: Contract) -> None:
    """The contract says which channels its outcomes may name."""
    column = next((c for c in contract.outcome_columns if c.name == "channel"), None)
    if column is None or column.valid_values is None:
        return
    paths: list[tuple[KeyPath, str]] = [(("reward", "channels", name), name) for name in reward.channels]
    paths = paths or [(("reward", "channel"), reward.channel)]
    paths += [(("reward", "guardrails", name), name) for name in reward.guardrails]
    for path, name in paths:
        if name not in column.valid_values:
            then = hint(name, column.valid_values) or "Correct it."
            what = "guardrail" if path[1] == "guardrails" else "channel of the reward"
            file.add(path, what, expected=one_of(column.valid_values), got=show(name), then=then)


def _check_training(file: TaskFile, training: TrainingSettings) -> None:
    path: KeyPath = ("training", "seeds")
    _check_each_once(file, path, training.seeds, "seed")
    for i, seed in enumerate(training.seeds):
        if not 0 <= seed <= LARGEST_SEED:
            file.add((*path, i), "seed", expected=f"0 to {LARGEST_SEED}", got=str(seed), then="Choose another.")
    if not set(training.algorithms) - set(REFERENCES):
        got, then = ", ".join(training.algorithms), "Add cql or bcq."
        expected = f"at least one beside {' and '.join(REFERENCES)}, which are never deployed"
        file.add(("training", "algorithms"), "algorithms", expected=expected, got=got, then=then)


def _check_cadence(file: TaskFile, cadence: Cadence) -> None:
    from cronsim import CronSim, CronSimError

    got, then = show(cadence.cron), 'Write "0 3 * * *" for every day at three.'
    try:
        CronSim(cadence.cron, datetime(2026, 1, 1, tzinfo=UTC))
        fine = len(cadence.cron.split()) == 5
    except CronSimError:
        fine = False
    if not fine:
        file.add(("cadence", "cron"), "cron expression", expected="five fields, UTC", got=got, then=then)


def _check_alerts(file: TaskFile, alerts: AlertRoute) -> None:
    """Addresses that could be reached, and no secret where the name of a variable belongs."""
    urls: list[tuple[KeyPath, str]] = [(("alerts", "webhooks", i), url) for i, url in enumerate(alerts.webhooks)]
    if alerts.alertmanager is not None:
        urls += [(("alerts", "alertmanager", "urls", i), url) for i, url in enumerate(alerts.alertmanager.urls)]
    if alerts.pagerduty is not None:
        urls += [(("alerts", "pagerduty", "url"), alerts.pagerduty.url)] if alerts.pagerduty.url else []
        here, then = ("alerts", "pagerduty", "routing_key_env"), "Put the key into a variable, and name it here."
        if PAGERDUTY_KEY.fullmatch(alerts.pagerduty.routing_key_env):
            got = "what looks like the key itself"
            file.add(here, "routing key", expected="the name of an environment variable", got=got, then=then)
    for path, url in urls:
        if not _is_web_address(url):
            file.add(path, _word(path), expected="an http or https URL", got=show(url), then="Correct it.")


def _word(path: KeyPath) -> str:
    return "webhook" if "webhooks" in path else f"URL in {dotted(path)}"


def _is_web_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and url.isprintable() and " " not in url
    except ValueError:
        return False
