"""A plain webhook: the payload as it is."""

from __future__ import annotations

from dataclasses import dataclass

from data_contracts.storage import canonical_json
from flows.alerts.payload import Payload
from flows.alerts.sinks.base import name_of, post_json


@dataclass(frozen=True, slots=True)
class WebhookSink:
    """A JSON POST; any 2xx answer means delivered. The URL may hold a token, so it is never stored or shown."""

    url: str
    forgets: bool = False

    @property
    def name(self) -> str:
        return name_of("webhook", self.url)

    @property
    def label(self) -> str:
        return "webhook"

    def deliver(self, payload: Payload) -> None:
        headers = {"Idempotency-Key": payload.event_id}
        post_json(self.url, canonical_json(payload.model_dump(mode="json")), headers)
