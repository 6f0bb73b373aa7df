"""The embedded default: a log on this machine, and stderr."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from flows.alerts.payload import Payload, log_line
from flows.alerts.sinks.base import SinkDown


@dataclass(frozen=True, slots=True)
class LogSink:
    """One JSON line per event in a file, one readable line on stderr."""

    path: Path
    name: str = "log"
    label: str = "log on this machine"
    forgets: bool = False

    def deliver(self, payload: Payload) -> None:
        line = payload.model_dump_json().encode() + b"\n"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            _append_line(self.path, line)
        except OSError as error:
            raise SinkDown(str(error)) from error
        sys.stderr.write(log_line(payload) + "\n")


def _append_line(path: Path, line: bytes) -> None:
    """Append durably; a line that a crash cut short stays alone, so the next one is whole."""
    with path.open("ab+") as stream:
        if stream.tell() and os.pread(stream.fileno(), 1, stream.tell() - 1) != b"\n":
            line = b"\n" + line
        stream.write(line)
        stream.flush()
        os.fsync(stream.fileno())
