"""Data Docs that open without a network, published so that a reader sees the old pages or the new, never a mixture."""

from __future__ import annotations

import html
import re
import shutil
from collections.abc import Sequence
from datetime import datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Final

from data_contracts.checks import CheckResult, Section
from data_contracts.contract import Contract
from data_contracts.drift.records import DriftResult, Level
from data_contracts.errors import StoreError
from data_contracts.findings import Finding, check_result
from data_contracts.judgement import Judgement, render_data_docs
from data_contracts.storage import build_folder, canonical_json, sha256_bytes, write_atomic

INDEX: Final = "index.html"
STYLE: Final = Path(__file__).with_name("data_docs.css")
# What Great Expectations 1.24 loads from elsewhere: scripts, style sheets, its logo, and a footer that advertises.
EXTERNAL: Final = (
    re.compile(r"<script\b.*?</script>", re.DOTALL | re.IGNORECASE),
    re.compile(r"<link\b[^>]*>", re.IGNORECASE),
    re.compile(r"<footer\b.*?</footer>", re.DOTALL | re.IGNORECASE),
    re.compile(r"\son\w+=\"[^\"]*\"", re.IGNORECASE),
)
CHECKS_HEAD: Final = (
    '<table class="checks"><thead><tr><th>Status</th><th>Rule</th><th>Column</th><th>Expected</th>'
    "<th>Observed</th><th>Limit</th><th>Rows</th></tr></thead><tbody>"
)
LOGO: Final = re.compile(r"<img\b[^>]*\bsrc=\"https?:[^>]*>", re.IGNORECASE)
CSS_URL: Final = re.compile(r"url\(\s*['\"]?(?:https?:)?//[^)]*\)", re.IGNORECASE)


def publish_data_docs(
    judgement: Judgement,
    findings: Sequence[Finding],
    folder: Path,
    *,
    contract: Contract,
    drift: DriftResult | None,
    level: Level,
    as_of: datetime,
    sections: Sequence[Section] = (),
) -> str:
    """Publish the pages of one validation under `folder`; returns the path of its index.html.

    The pages of Great Expectations go to a folder named by what they say; then index.html, which points to them,
    is replaced in one step, and the pages it pointed to before are removed.
    Raises StoreError when a page would load anything from a network.
    """
    said = [[f.expectation.rule, f.expectation.column, f.observed, str(f.expectation.limit)] for f in findings]
    facts = {"said": said, "passed": judgement.passed, "contract": contract.sha256, "as_of": as_of}
    name = sha256_bytes(canonical_json(facts))[:16]
    if not (folder / name).exists():
        with build_folder(folder / name) as building:
            render_data_docs(judgement, building)
            _make_offline(building)
    details = next((folder / name).glob("validations/**/*.html")).relative_to(folder)
    page = _index(
        judgement,
        findings,
        contract=contract,
        drift=drift,
        level=level,
        as_of=as_of,
        details=str(details),
        sections=sections,
    )
    write_atomic(folder / INDEX, page.encode())
    for old in folder.iterdir():
        if old.is_dir() and old.name != name:
            shutil.rmtree(old, ignore_errors=True)
    return str(folder / INDEX)


def external_references(page: str) -> list[str]:
    """Addresses that a browser would load when it opens `page`; links that a reader may follow are not loaded."""
    parser = _References()
    parser.feed(page)
    return parser.found + [match.group() for match in CSS_URL.finditer(page)]


class _References(HTMLParser):
    """Collects src, srcset, poster and data of all elements, and href of all but links to follow."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        loading = {"src", "srcset", "poster", "data"} | (set() if tag == "a" else {"href"})
        for name, value in attributes:
            if name in loading and re.match(r"\s*(https?:)?//", value or "", re.IGNORECASE):
                self.found.append(str(value))


def _make_offline(folder: Path) -> None:
    shutil.rmtree(folder / "static", ignore_errors=True)  # 1 MB of fonts and pictures that no page shows any more
    style = f"<style>\n{STYLE.read_text()}</style>\n</head>"
    for path in folder.rglob("*.html"):
        page = path.read_text()
        for pattern in EXTERNAL:
            page = pattern.sub("", page)
        page = CSS_URL.sub("none", LOGO.sub("Great Expectations", page)).replace("</head>", style, 1)
        if remaining := external_references(page):
            raise StoreError(
                f"Data Docs need a network in {path.name}: expected no external asset, got {len(remaining)} "
                f"({', '.join(remaining[:5])}). Great Expectations changed its pages: extend data_docs.py."
            )
        path.write_text(page)
    # its own index is drawn by JavaScript; ours, one folder up, says the same
    (folder / INDEX).write_text(f'<!DOCTYPE html><meta http-equiv="refresh" content="0; url=../{INDEX}">\n')


def _index(
    judgement: Judgement,
    findings: Sequence[Finding],
    *,
    contract: Contract,
    drift: DriftResult | None,
    level: Level,
    as_of: datetime,
    details: str,
    sections: Sequence[Section],
) -> str:
    """One self-contained page: the level, drift, the sections, the broken expectations first, and where to read on."""
    judged = sorted(zip(findings, judgement.passed, strict=True), key=lambda pair: pair[1])
    n_failed = sum(not passed for passed in judgement.passed)
    return "\n".join(
        [
            '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">',
            f"<title>{html.escape(contract.id)}: data contract</title>",
            f"<style>\n{STYLE.read_text()}</style></head><body><main>",
            f'<h1>{html.escape(contract.id)} <span class="badge {level}">{level}</span></h1>',
            f'<p class="soft">Contract {html.escape(contract.version)}, as of {as_of.isoformat()}. '
            f"{len(findings)} expectations, {n_failed} broken. Owner: {html.escape(contract.owner)}. "
            f'<a href="{html.escape(details)}">Pages of Great Expectations</a></p>',
            "<h2>Drift</h2>",
            *_drift(drift),
            *(line for section in sections for line in _section(section)),
            "<h2>Expectations</h2>",
            CHECKS_HEAD,
            *(_row(check_result(finding, passed=passed)) for finding, passed in judged),
            "</tbody></table></main></body></html>\n",
        ]
    )


def _row(check: CheckResult) -> str:
    status = "✔" if check.passed else f'<span class="badge {check.level}">{check.level}</span>'
    seen = check.observed + (f" (e.g. {', '.join(check.examples)})" if check.examples else "")
    texts = (check.rule, check.column or "", check.description, seen, check.limit, f"{check.n_rows:,}")
    cells = "".join(f"<td>{html.escape(text)}</td>" for text in texts)
    shade = "passed" if check.passed else "failed"
    return f'<tr class="{shade}"><td>{status}</td>{cells}</tr>'


def _section(section: Section) -> list[str]:
    """A heading, the checks, tables for people, and notes."""
    lines = [f"<h2>{html.escape(section.title)}</h2>"]
    if section.checks:
        ordered = sorted(section.checks, key=lambda check: check.passed)
        lines += [CHECKS_HEAD, *(_row(check) for check in ordered), "</tbody></table>"]
    for table in section.tables:
        head = "".join(f"<th>{html.escape(word)}</th>" for word in table.columns)
        rows = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in table.rows)
        lines += [
            f"<h3>{html.escape(table.title)}</h3>",
            f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>",
        ]
    return [*lines, *(f'<p class="soft">{html.escape(note)}</p>' for note in section.notes)]


def _drift(drift: DriftResult | None) -> list[str]:
    if drift is None:
        return ["<p>Not judged: the schema is broken.</p>"]
    said = (
        f'<p><span class="badge {drift.level}">{drift.level}</span> against {html.escape(drift.reference)}: '
        f"{html.escape(drift.detail)}; statistic {drift.statistic:.4g}.<br>"
        f'<span class="soft">Budget: {html.escape(drift.false_alarm_budget)}.</span></p>'
    )
    said += "".join(f"<p>In the week before: {html.escape(cause)}.</p>" for cause in drift.possible_causes)
    if not drift.top:
        return [said]
    rows = "".join(
        f"<tr><td>{html.escape(m.name)}</td><td>{m.kind}</td><td>{m.observed:.4g}</td><td>{m.expected:.4g}</td>"
        f"<td>{m.z:+.1f}</td></tr>"
        for m in drift.top
    )
    head = "<tr><th>Monitor</th><th>Kind</th><th>Observed</th><th>Expected</th><th>z</th></tr>"
    return [said, f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>"]
