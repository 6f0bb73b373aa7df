"""Real HTTP receivers on loopback that keep what they got and answer as told."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Call:
    path: str
    headers: dict[str, str]  # names in lower case
    body: Any


@dataclass
class Receiver:
    """`statuses` are its next answers, then 202; every answer has PagerDuty's body, which the others ignore."""

    server: ThreadingHTTPServer
    statuses: list[int] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    taken: list[Call] = field(default_factory=list)  # those that were answered with 2xx

    @property
    def port(self) -> int:
        return int(self.server.server_port)

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.base}/hook?token=secret"

    @property
    def told(self) -> list[tuple[str, str]]:
        """Of a webhook or of PagerDuty: action and dedup key of every call."""
        return [(call.body["event_action"], call.body["dedup_key"]) for call in self.calls]


@contextmanager
def listening(port: int = 0) -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            call = Call(self.path, {k.lower(): v for k, v in self.headers.items()}, body)
            status = heard.statuses.pop(0) if heard.statuses else 202
            heard.calls.append(call)
            if 200 <= status < 300:
                heard.taken.append(call)
            key = body.get("dedup_key", "") if isinstance(body, dict) else ""
            answer = json.dumps({"status": "success", "dedup_key": key}).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    heard = Receiver(server)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield heard
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def closed_port() -> int:
    """A port on loopback where nobody listens."""
    with listening() as receiver:
        return receiver.port
