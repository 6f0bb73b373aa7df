"""A log of episodes as the gate reads it: the stream of its route, and what an episodic verdict rests on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from data_contracts.errors import UsageError
from policies.gate.episodes.episode_checks import check_episodes, estimate_episodes
from policies.gate.episodes.episode_rows import EpisodeColumns, stack_episodes
from policies.gate.episodes.episodes import stream_of
from policies.gate.question import Question
from policies.gate.reading import Reading
from policies.gate.records import GateRows
from policies.gate.soundness.soundness import Soundness


def read_episodes(rows: GateRows, columns: EpisodeColumns, *, look: NDArray[np.int64], question: Question) -> Reading:
    """Rows (n,) of whole episodes, the look (n,) that read each, and their columns, as a stream of episodes.

    Raises UsageError when the settings declare no episodes, DegenerateData when an episode is not whole.
    """
    settings, earlier = question.settings.episodes, question.inputs.earlier_episodes
    if settings is None or earlier is None:
        raise UsageError(
            "no look at episodes: expected `gate.episodes` in the settings and what earlier episodes told, got none. "
            "Declare `episodes` in the task file before the challenger is trained."
        )
    plan = question.plan
    episodes = stack_episodes(rows, columns, look=look, gamma=settings.gamma, weight_maximum=plan.weight_maximum)
    stream = stream_of(episodes, route=settings.route, plan=plan, earlier=earlier)
    judged = check_episodes(
        episodes, stream, settings=settings, return_bounds=(plan.reward_minimum, plan.reward_maximum)
    )
    parts = Soundness({"episodes": judged.evidence}, judged.conditions)
    return Reading(stream, estimate_episodes(episodes), settings.route, parts)
