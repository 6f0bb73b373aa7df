"""`reward:` of a task file: which later observations become the reward, which are only watched, until when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from data_contracts.contract import Contract, Severity

LONGEST_WINDOW = timedelta(days=3650)  # keeps occurred_at + window inside the range of a datetime
ADDING: Final = ("sum", "weighted")  # rules that add channels up; the others let one outcome decide

ChannelKind = Literal[
    "feedback", "interaction", "second_order"
]  # ratings, labels | clicks, purchases | later visits, churn
Quality = Literal["high", "medium", "low"]
Within = Literal["earliest", "last", "sum", "max", "mean"]
Combine = Literal["earliest", "last", "sum", "weighted"]
Duration = Annotated[timedelta, Field(ge=timedelta(0), le=LONGEST_WINDOW)]  # ISO 8601, e.g. P7D
Number = Annotated[float, Field(allow_inf_nan=False)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ChannelSettings(_Strict):
    """One channel of outcomes that becomes reward. `weight`, `within` and `default` belong to rules that add up."""

    kind: ChannelKind
    quality: Quality | None = Field(None, description="how much one outcome says; for people")
    window: Duration | None = Field(None, description="instead of attribution_window")
    delay: Duration | None = Field(None, description="nine of ten outcomes have come by then; checked")
    weight: Number | None = Field(None, description="factor under combine: weighted; default 1")
    within: Within | None = Field(None, description="several outcomes of one interaction become one; default earliest")
    default: Number | None = Field(None, description="value when nothing came; without it the channel adds nothing")


class GuardrailSettings(_Strict):
    """A channel that is watched and never rewarded. `limit` is of the mean value per interaction."""

    limit: Number
    better: Literal["lower", "higher"] = "lower"
    window: Duration | None = Field(None, description="instead of attribution_window; delays no reward")
    within: Within = "earliest"
    default: Number | None = Field(0.0, description="value when nothing came; null: such interactions do not count")
    severity: Severity = "warn"


class FeedSettings(_Strict):
    """What is expected of the arrival of outcomes. `recent`: at least twice the usual time until they are delivered."""

    recent: Annotated[timedelta, Field(gt=timedelta(0), le=LONGEST_WINDOW)] = timedelta(days=2)
    max_late: float = Field(0.05, ge=0, le=1, description="share of a channel's outcomes that may miss its window")
    min_share: float = Field(0.5, ge=0, lt=1, description="of the outcomes expected of the recent time; 0: not checked")


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel with nothing left open. `default` None: an interaction without outcome adds nothing."""

    name: str
    window: timedelta
    within: Within = "earliest"
    weight: float = 1.0
    default: float | None = None
    kind: ChannelKind | None = None  # None: the one channel of a task that declares no channels
    quality: Quality | None = None
    delay: timedelta | None = None


class RewardSettings(_Strict):
    """How outcomes become the reward of their interaction.

    earliest, last: of all outcomes of all channels, the one observed first (last) is the reward.
    sum: the channels' values, added up; weighted: each times its `weight`, added up.
    """

    channels: dict[str, ChannelSettings] = {}
    channel: str = Field(
        "",
        validate_default=True,
        description="of outcomes that name none, and of rewards in the row; default: the first of channels, or reward",
    )
    attribution_window: timedelta = Field(
        timedelta(0), ge=timedelta(0), le=LONGEST_WINDOW, description="ISO 8601 duration, e.g. P7D"
    )
    default: float | None = Field(
        None, allow_inf_nan=False, description="reward when nothing arrived inside the window; None: required"
    )
    combine: Combine = "earliest"
    bounds: tuple[Number, Number] | None = Field(None, description="of the reward; what lies outside is clipped")
    guardrails: dict[str, GuardrailSettings] = {}
    feed: FeedSettings = FeedSettings()

    @field_validator("channel")
    @classmethod
    def _or_the_first(cls, channel: str, info: ValidationInfo) -> str:
        return channel or next(iter(info.data.get("channels", {})), "reward")

    @model_validator(mode="after")
    def _fits_together(self) -> RewardSettings:
        for wrong in (self._wrong_names(), self._wrong_rule(), self._wrong_bounds(), self._wrong_delay()):
            if wrong:
                raise ValueError(wrong)
        return self

    @property
    def reward_channels(self) -> tuple[Channel, ...]:
        """In the order of their names, so that the order of a file decides nothing."""
        if not self.channels:
            return (Channel(self.channel, self.attribution_window),)
        return tuple(self._channel(name, declared) for name, declared in sorted(self.channels.items()))

    @property
    def guardrail_channels(self) -> tuple[Channel, ...]:
        return tuple(
            Channel(name, self._window(declared.window), declared.within, default=declared.default)
            for name, declared in sorted(self.guardrails.items())
        )

    @property
    def channel_names(self) -> tuple[str, ...]:
        """Channels that an outcome may name; the first is of those that name none."""
        return tuple(dict.fromkeys((self.channel, *self.channels, *self.guardrails)))

    @property
    def longest_window(self) -> timedelta:
        """No outcome observed later than this after its interaction can change a reward."""
        return max(channel.window for channel in self.reward_channels)

    @property
    def follows_from_row(self) -> bool:
        """Whether, without outcomes, a matured row's reward is the one in the row, else `default`."""
        return not self.channels and self.bounds is None

    def _channel(self, name: str, declared: ChannelSettings) -> Channel:
        return Channel(
            name=name,
            window=self._window(declared.window),
            within=declared.within or "earliest",
            weight=1.0 if declared.weight is None else declared.weight,
            default=declared.default,
            kind=declared.kind,
            quality=declared.quality,
            delay=declared.delay,
        )

    def _window(self, declared: timedelta | None) -> timedelta:
        return self.attribution_window if declared is None else declared

    def _wrong_names(self) -> str:
        names = {self.channel, *self.channels, *self.guardrails}
        if not all(name.strip() and name.isprintable() for name in names):
            return "a word as the name of every channel"
        if self.channels and self.channel not in self.channels:
            return f"channel to be one of channels ({', '.join(self.channels)})"
        both = sorted({self.channel, *self.channels} & self.guardrails.keys())
        return (
            f"{both[0]} among channels or among guardrails, not both: what is watched is not rewarded" if both else ""
        )

    def _wrong_rule(self) -> str:
        if self.combine in ADDING and not self.channels:
            return f"channels, which combine: {self.combine} adds up"
        for name, declared in self.channels.items():
            unread = [] if self.combine in ADDING else [word for word in ("within", "default") if _has(declared, word)]
            unread += ["weight"] if self.combine != "weighted" and _has(declared, "weight") else []
            if unread:
                return f"no {unread[0]} in channel {name}: combine: {self.combine} does not read it"
        return ""

    def _wrong_bounds(self) -> str:
        if self.bounds is None:
            return (
                f"bounds of the reward, as combine: {self.combine} adds channels up" if self.combine in ADDING else ""
            )
        low, high = self.bounds
        if not low < high:
            return "bounds with the lower one first"
        outside = self.default is not None and not low <= self.default <= high
        return f"default inside bounds [{low:g}, {high:g}]" if outside else ""

    def _wrong_delay(self) -> str:
        for channel in self.reward_channels:
            if channel.delay is not None and channel.delay > channel.window:
                return f"the delay of channel {channel.name} to be no longer than its window"
        return ""


def reward_bounds(contract: Contract, reward: RewardSettings) -> tuple[float, float]:
    """[low, high] that holds every final reward of `attach_rewards`: the gate's bets are valid under true bounds only.

    With `bounds` declared, those: the reward is clipped to them, and a default outside is refused by the settings.
    Without, one outcome decides (rules that add up need `bounds`), so the reward is an accepted value, which ingest
    holds to the contract's bounds of `reward` and `value`, or `default`: the smallest interval with both.
    Units of reward. Caveat: rows accepted under an older contract with wider bounds are inside only with `bounds`.
    """
    if reward.bounds is not None:
        return reward.bounds
    low, high = contract.reward_bounds
    default = low if reward.default is None else reward.default
    return min(low, default), max(high, default)


def _has(declared: ChannelSettings, word: str) -> bool:
    return getattr(declared, word) is not None
