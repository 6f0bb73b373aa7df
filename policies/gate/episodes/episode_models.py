"""What rows before the window say of both policies' values and visits, carried to the gate's rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from data_contracts.errors import ConfigurationError
from policies.gate.episodes.episode_rows import EpisodeColumns, GateEpisodes, complete_episodes, stack_episodes
from policies.gate.episodes.episode_settings import EpisodeSettings
from policies.gate.records import GateRows
from policies.logged_interactions import LoggedInteractions
from policies.ope.episodes import LoggedEpisodes
from policies.ope.tabular import TabularModels, fit_models

SEPARATOR = "\x1f"  # between the values of a state's columns


@dataclass(frozen=True, slots=True, repr=False)
class EpisodeModels:
    """Models of champion and challenger over the S distinct states of earlier rows; code S is any other state."""

    columns: tuple[str, ...]
    states: pa.Array  # (S,) text
    champion: TabularModels
    challenger: TabularModels

    def along(
        self, rows: LoggedInteractions, *, champion: NDArray[np.float64], challenger: NDArray[np.float64]
    ) -> EpisodeColumns:
        """What the gate stores of n rows, with both policies' probabilities (n, K) on them."""
        state = _codes(_texts(rows.observations, self.columns), self.states)
        low = self.champion.along(state, rows.action, champion)
        high = self.challenger.along(state, rows.action, challenger)
        return EpisodeColumns(
            episode_id=rows.episode_id,
            step=rows.step,
            terminated=rows.terminated,
            truncated=rows.truncated,
            state=state,
            champion_q=low.q,
            champion_v=low.v,
            champion_ratio=low.ratio,
            challenger_q=high.q,
            challenger_v=high.v,
            challenger_ratio=high.ratio,
        )

    def __repr__(self) -> str:
        return f"EpisodeModels(n_states={len(self.states)}, columns={', '.join(self.columns)})"


def fit_episode_models(
    rows: LoggedInteractions,
    *,
    propensity: NDArray[np.float64],
    champion: NDArray[np.float64],
    challenger: NDArray[np.float64],
    settings: EpisodeSettings,
) -> EpisodeModels:
    """Fit on the complete episodes among n rows before the window; (n,) propensities, (n, K) probabilities.

    The state is the combination of `settings.state` (none: of all observation columns). Raises ConfigurationError for
    a column that is no observation, DegenerateData where there are too many states or too few episodes.
    Caveat: a combination of continuous columns hardly ever recurs; its models are empty then, the Markov check does
    not pass, and DR-PDIS is PDIS.
    """
    columns = settings.state or tuple(rows.observations.column_names)
    unknown = sorted(set(columns) - set(rows.observations.column_names))
    if unknown:
        raise ConfigurationError(
            f"wrong gate.episodes.state: expected observation columns ({', '.join(rows.observations.column_names)}), "
            f"got {', '.join(unknown)}. Name columns that the contract tags as observation."
        )
    whole = complete_episodes(rows.episode_id, rows.step, rows.terminated, rows.truncated)
    texts = _texts(rows.observations, columns)
    found = pc.unique(texts.filter(pa.array(whole)))
    states = found.take(pc.array_sort_indices(found))
    order = np.flatnonzero(whole)
    _, code = np.unique(rows.episode_id[order], return_inverse=True)
    order = order[np.lexsort((rows.step[order], code))]
    logged = _logged(rows, order, propensity, gamma=settings.gamma)
    state = _codes(texts, states)[order]
    low, high = (fit_models(logged, state, p[order], n_states=len(states) + 1) for p in (champion, challenger))
    return EpisodeModels(columns, states, low, high)


def earlier_episodes(
    rows: LoggedInteractions,
    columns: EpisodeColumns,
    *,
    propensity: NDArray[np.float64],
    behavior: NDArray[np.float64],
    champion: NDArray[np.float64],
    challenger: NDArray[np.float64],
    gamma: float,
) -> GateEpisodes:
    """The complete episodes among rows before the window, as `plan_episodes` and `summarize` read them."""
    whole = complete_episodes(columns.episode_id, columns.step, columns.terminated, columns.truncated)
    gate_rows = GateRows(
        interaction_id=rows.interaction_id,
        unit_id=rows.unit_id,
        policy_version=rows.policy_version,
        action=rows.action,
        reward=rows.reward,
        propensity=propensity,
        behavior=behavior,
        champion=champion,
        challenger=challenger,
        reward_model=np.zeros_like(champion),
        weight=rows.weight,
    )
    return stack_episodes(
        gate_rows.select(whole), columns.select(whole), look=np.ones(int(whole.sum()), np.int64), gamma=gamma
    )


def _logged(
    rows: LoggedInteractions, order: NDArray[np.int64], propensity: NDArray[np.float64], *, gamma: float
) -> LoggedEpisodes:
    starts = rows.step[order] == 0
    return LoggedEpisodes(
        episode=np.cumsum(starts) - 1,
        step=rows.step[order],
        action=rows.action[order],
        reward=rows.reward[order],
        propensity=propensity[order],
        terminated=rows.terminated[order],
        truncated=rows.truncated[order],
        gamma=gamma,
        unit=np.unique(rows.unit_id[order][starts], return_inverse=True)[1].astype(np.int64),
    )


def _texts(observations: pa.Table, columns: tuple[str, ...]) -> pa.Array:
    """(n,) each row's state as text; a null value is a value of its own."""
    parts = [pc.fill_null(observations[name].cast(pa.string()), "\x00") for name in columns]
    joined = pc.binary_join_element_wise(*parts, SEPARATOR)
    return joined.combine_chunks() if isinstance(joined, pa.ChunkedArray) else joined


def _codes(texts: pa.Array, states: pa.Array) -> NDArray[np.int64]:
    """(n,) index of each text among the states; their number for any other."""
    found = pc.fill_null(pc.index_in(texts, value_set=states), len(states))
    return np.asarray(found.to_numpy(zero_copy_only=False), np.int64)
