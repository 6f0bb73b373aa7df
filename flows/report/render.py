"""The Reward Report: one self-contained page (no network, no script), and the same facts as JSON beside it."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from data_contracts.storage import canonical_json, write_atomic
from flows.report import health, numbers, page
from flows.report.bars import draw_share
from flows.report.facts import RunFacts
from flows.report.verdicts import headline

FOLDER = Path(__file__).parent


def render_report(facts: RunFacts) -> str:
    """The whole page; the same facts give the same bytes. Every value is escaped, in text and in charts."""
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            facts=facts,
            headline=headline(facts),
            page=page,
            health=health,
            style=Markup((FOLDER / "report.css").read_text()),  # noqa: S704 - our own file
            ln10=math.log(10),
        )
    )


def write_report(facts: RunFacts, folder: Path) -> Path:
    """Write `report.json`, then `report.html`, into `folder`; returns the path of the page."""
    write_atomic(folder / "report.json", canonical_json(facts.model_dump(mode="json")))
    write_atomic(folder / "report.html", render_report(facts).encode())
    return folder / "report.html"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,  # the default goes by file extension and would not see report.html.j2
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        count=numbers.format_count,
        number=numbers.format_value,
        to=numbers.format_to,
        days=numbers.format_days,
        ratio=numbers.format_ratio,
        moment=numbers.format_time,
        duration=numbers.format_seconds,
        prose=_prose,
        drawn=_drawn,
        share=_share,
    )
    return environment


def _prose(text: str) -> Markup:
    """A sentence whose parts between backticks are code; an odd backtick is a plain character."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return escape(text)
    pieces = [Markup("<code>{}</code>").format(part) if i % 2 else escape(part) for i, part in enumerate(parts)]
    return Markup("").join(pieces)


def _drawn(svg: str) -> Markup:
    return Markup(svg)  # noqa: S704 - flows/report/svg.py escapes every text and attribute


def _share(share: float, css: str) -> Markup:
    return Markup(draw_share(share, css))  # noqa: S704 - as above
