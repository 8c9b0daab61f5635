"""A store in which something is going on, and the names of all metrics that then are told."""

from typing import Final

from crmbridge.state.store import Store
from crmbridge.state.words import Batch, Intent, Issue
from crmbridge.sync.reconcile import Result, note
from crmbridge.sync.rollcall import Roll
from tests.support.rows import Lead, left

SETTINGS: Final = """\
connections:
  north:
    system: salesforce
    url: https://north.example
    auth: {flow: access_token, access_token: "${env:X}"}
  south:
    system: dynamics
    url: https://south.example
    auth: {flow: client_secret, tenant_id: t, client_id: c, client_secret: "${env:X}"}
"""

EVERY_METRIC: Final = frozenset(
    f"crmbridge_{name}"
    for name in (
        "read_age_seconds backlog_records open_issues oldest_issue_seconds unanswered_calls "
        "oldest_unanswered_call_seconds paused_writes pauses breaker_open blocked_seconds day_used_ratio "
        "day_forecast_ratio day_calls runs calls writes unwritten last_run_age_seconds at_work workers "
        "configuration_broken reconcile_age_seconds reconcile_rows reconcile_found reconcile_unclear"
    ).split()
)


def a_full_store(store: Store) -> None:
    """One lead that is held, a call without answer, a run, a worker, a CRM that asked us to stay away."""
    store.configure({("left", "lead"): Lead, ("right", "lead"): Lead})
    store.save_page("left", "lead", left.page(left.row("00Q000000000001AAA", values=Lead(last_name="Canary"))))
    store.beat("tick")
    lease = store.take_lease("cycle", 60)
    run = store.start_run("sync", lease=lease)
    issue = Issue(
        kind="held",
        cause="no_owner",
        entity="lead",
        link_id=None,
        side="left",
        native_id="00Q000000000001AAA",
        message="Nobody there has the e-mail address of Canary.",
    )
    intent = Intent(
        id="i1", run_id=run.id, side="right", entity="lead", kind="update", link_id="l1", native_id="g1",
        after={"last_name": "Canary"},
    )  # fmt: skip
    store.apply(Batch(issues=[issue], open_intents=[intent]), lease=lease)
    counts = {"south": {"lead": {"update": 2}}}
    calls = {"north": {"lead query": 3, "account query": 2}, "south": {"lead patch": 2}}
    unwritten = {"south": {"lead": {"update": {"refused": 3}}}}
    store.end_run(run.id, "done, 1 held", counts=counts, unwritten=unwritten, calls=calls)
    store.release(lease)
    roll = Roll(asked=40, gone=1, unclear=2)
    note(store, {"right": {"lead": Result(at=store.now().isoformat(), seen=7, missed=3, roll=roll)}})
    store.begin_pause("opportunity", None, reading=False, by="ingrid", why="an import")
    store.block_calls("north", 600, "Retry-After")
    store.set_daily_calls("north", 1000)
    store.reserve_calls("north", "bulk", requests=1, operations=1)
