"""Who answers for a log and where it lies: owner, support, runbook and servers of a contract."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

from data_contracts.contract import Server
from data_contracts.language.problems import KeyPath, Problems, as_list, as_mapping, hint, one_of, show

PLACES = ("path", "location", "endpointUrl", "host", "catalogUrl")  # of a server: the first that it has


def read_owner(data: dict[str, Any], problems: Problems) -> str:
    name = as_mapping(data.get("team")).get("name")
    if not name:
        then = "Write team: {name: WHO}; a broken contract goes to them."
        problems.add(("team",), "no owner", expected="team with a name", got=show(data.get("team")), then=then)
    return str(name)


def read_support(data: dict[str, Any], problems: Problems) -> str:
    """Address of the first support entry, else its channel."""
    first = as_mapping(next(iter(as_list(data.get("support"))), None))
    address = first.get("url") or first.get("channel")
    if not first.get("channel"):
        then = "Write support: [{channel: NAME, url: ADDRESS}]."
        got = show(data.get("support"))
        problems.add(("support",), "no support", expected="a list with a channel", got=got, then=then)
    return str(address)


def read_runbook(data: dict[str, Any], problems: Problems) -> str:
    properties = [as_mapping(p) for p in as_list(data.get("customProperties"))]
    found = [p.get("value") for p in properties if p.get("property") == "runbook"]
    if len(found) != 1 or not isinstance(found[0], str) or not found[0].strip():
        then = "Write customProperties: [{property: runbook, value: FILE OR URL}]."
        got = show(found[0]) if len(found) == 1 else f"{len(found)} of them"
        problems.add(("customProperties",), "runbook", expected="one, with a text as value", got=got, then=then)
        return ""
    return found[0]


def read_servers(data: dict[str, Any], problems: Problems) -> tuple[Server, ...]:
    """Servers, each of a type that ODCS knows and with the keys that it demands of the type."""
    servers: list[Server] = []
    required = _required_keys()
    for i, raw in enumerate(as_list(data.get("servers"))):
        entry, path = as_mapping(raw), ("servers", i)
        name, type_ = entry.get("server"), entry.get("type")
        if not name:
            then = "Name it: a contract may have several."
            problems.add(path, "server without a name", expected="key server", got=show(name), then=then)
        elif name in [server.name for server in servers]:
            problems.add((*path, "server"), f"server {name}", expected="each once", got="it again", then="Rename one.")
        if str(type_) not in required:
            then = hint(str(type_), required) or "Take custom for any other."
            here, what = (*path, "type"), f"type of server {name}"
            problems.add(here, what, expected=one_of([*required]), got=show(type_), then=then)
        _check_keys(entry, required.get(str(type_), ()), path, problems)
        place = next((str(entry[word]) for word in PLACES if entry.get(word)), "")
        servers.append(Server(str(name), str(type_), place, str(entry.get("environment") or "")))
    return tuple(servers)


def _check_keys(entry: dict[str, Any], required: tuple[str, ...], path: KeyPath, problems: Problems) -> None:
    missing = [word for word in required if entry.get(word) in (None, "")]
    if missing:
        what, got = f"server {entry.get('server')} of type {entry.get('type')}", f"no {', '.join(missing)}"
        problems.add(path, what, expected=", ".join(required), got=got, then="Add it.")


@cache
def _required_keys() -> dict[str, tuple[str, ...]]:
    """Type of a server -> the keys it must have, from the standard's own schema."""
    schema = json.loads((files("open_data_contract_standard") / "schema.json").read_text())
    server = schema["$defs"]["Server"]
    required: dict[str, tuple[str, ...]] = dict.fromkeys(sorted(server["properties"]["type"]["enum"]), ())
    for rule in server["allOf"]:
        words = rule["if"]["properties"]["type"]
        definition = schema
        for part in rule["then"]["$ref"].removeprefix("#/").split("/"):
            definition = definition[part]
        for type_ in [words["const"]] if "const" in words else words["enum"]:
            required[type_] = tuple(definition.get("required", ()))
    return required
