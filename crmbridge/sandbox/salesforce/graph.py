"""Composite Graph: several composites in one call, each all or nothing (salesforce-api §3.4)."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from crmbridge.sandbox.salesforce.ask import Answer, Ask, allow, only, since
from crmbridge.sandbox.salesforce.composite import Composite, Result, halted, subrequests
from crmbridge.sandbox.salesforce.errors import refuse
from crmbridge.sandbox.salesforce.references import names_in

SINCE: Final = 50
GRAPHS_MAX: Final = 75
NODES_MAX: Final = 500  # of all graphs together
DEPTH_MAX: Final = 15  # of nodes that need each other
KINDS_MAX: Final = 15  # what is done to which object
FAILURES_MAX: Final = 14  # graphs after more failures than these are not tried
_NODE: Final = re.compile(r"/services/data/v\d+\.0/sobjects/(\w+)(/[^?]*)?(?:\?.*)?", re.DOTALL)
_NO_ROWS: Final = ("describe", "updated", "deleted", "listviews", "quickActions", "defaultValues")
_METHODS: Final = {False: ("POST",), True: ("GET", "PATCH", "DELETE")}  # without and with a row


class Graphs:
    def __init__(self, composite: Composite) -> None:
        self._composite = composite

    def answer(self, ask: Ask) -> Answer:
        since(ask, SINCE)
        allow(ask, "POST")
        ask.log.note("composite_graph")
        graphs = _graphs(ask.envelope("graphs"))
        results: list[Result] = []
        failures = 0
        for name, subs in graphs:
            stopped = failures > FAILURES_MAX
            answers, fine = ([halted(sub) for sub in subs], False) if stopped else self._run(ask, subs)
            failures += not fine
            response = {"compositeResponse": answers}
            results.append({"graphId": name, "graphResponse": response, "isSuccessful": fine})
        return Answer(body={"graphs": results})

    def _run(self, ask: Ask, subs: Sequence[Mapping[str, Any]]) -> tuple[list[Result], bool]:
        return self._composite.run(ask, subs, whole=True)


def _graphs(body: Mapping[str, Any]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Graph ids with their nodes, within the limits (§3.4; the codes and words are (unverified))."""
    given = body.get("graphs")
    if not isinstance(given, list) or not given or not all(isinstance(graph, dict) for graph in given):
        raise refuse("JSON_PARSER_ERROR", "graphs must be a list of graphs at [line:1, column:1]")
    for graph in given:
        only(graph, "graphId", "compositeRequest")
    names = [str(graph.get("graphId") or "") for graph in given]
    if not all(names) or len(set(names)) < len(names):
        raise refuse("INVALID_INPUT", "Every graph needs its own graphId.")  # (unverified)
    if len(given) > GRAPHS_MAX:
        raise refuse("LIMIT_EXCEEDED", f"You can have up to {GRAPHS_MAX} graphs in a single call.")
    graphs = [(name, subrequests(graph)) for name, graph in zip(names, given, strict=True)]
    nodes = [sub for _, subs in graphs for sub in subs]
    if not all(subs for _, subs in graphs) or len(nodes) > NODES_MAX:
        message = f"A graph has at least one node, and all graphs together up to {NODES_MAX}."
        raise refuse("LIMIT_EXCEEDED", message)
    if len({_kind(node) for node in nodes}) > KINDS_MAX:
        raise refuse("LIMIT_EXCEEDED", f"The graphs hold more than {KINDS_MAX} different kinds of nodes.")
    if any(_depth(subs) > DEPTH_MAX for _, subs in graphs):
        raise refuse("LIMIT_EXCEEDED", f"Nodes of a graph may depend on each other {DEPTH_MAX} deep.")
    return graphs


def _kind(node: Mapping[str, Any]) -> tuple[str, str]:
    """Only rows of objects can be nodes (§3.4; the code (unverified))."""
    method, url = str(node["method"]).upper(), str(node["url"])
    found = _NODE.fullmatch(url)
    row = (found.group(2) or "").strip("/") if found else ""
    if found is None or method not in _METHODS[bool(row)] or row.partition("/")[0] in _NO_ROWS:
        raise refuse("INVALID_INPUT", f"{method} {url} cannot be a node of a graph.")  # (unverified)
    return method, found.group(1).lower()


def _depth(subs: Sequence[Mapping[str, Any]]) -> int:
    """How many nodes the longest chain of references has; a node refers to earlier ones."""
    depths: dict[str, int] = {}
    for sub in subs:
        needed = (depths.get(name, 0) for name in (*names_in(sub["url"]), *names_in(sub.get("body"))))
        depths[str(sub["referenceId"])] = 1 + max(needed, default=0)
    return max(depths.values(), default=0)
