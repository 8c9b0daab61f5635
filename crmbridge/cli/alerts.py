"""`crmbridge alerts`: what is out of order, and who hears of it."""

from collections.abc import Mapping
from typing import Any, Final

import rich_click as click

from crmbridge.cli.context import Place
from crmbridge.cli.group import LateGroup, Table
from crmbridge.errors import ConfigError, CrmBridgeError

COMMANDS: Final[Table] = {
    "show": ("crmbridge.cli.alerts:show", "What is out of order now, and which alerts are on their way."),
    "check": ("crmbridge.cli.alerts:check", "Look and tell, once, as the workers do: for a scheduler of your own."),
    "test": ("crmbridge.cli.alerts:send_test", "Send one alert to each channel, to see that it arrives."),
}
_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


@click.group("alerts", cls=LateGroup, table=COMMANDS)
def alerts_group() -> None:
    """What is out of order, and who hears of it. Every command below takes --json."""


@click.command("show")
@_json
@click.pass_obj
def show(place: Place, as_json: bool) -> int:
    """What is out of order by the last look, and which alerts no channel has taken yet. Exits 1 while there is some."""
    with place.store() as store:
        return _print(_document(store), as_json)


@click.command("check")
@_json
@click.pass_obj
def check(place: Place, as_json: bool) -> int:
    """Look how things stand, tell what is new or over, and exit 1 while something is out of order.

    Workers do this by themselves every few seconds. Where all workers may be gone, run it from a scheduler of your own:
    it needs the store and the settings only.
    """
    from workers.alerting import look, send_due

    settings = place.settings()
    with place.store() as store:
        look(store, settings)
        send_due(store, settings)
        return _print(_document(store), as_json)


@click.command("test")
@click.option("--channel", "channels", multiple=True, metavar="NAME", help="Only this one; may be given several times.")
@_json
@click.pass_obj
def send_test(place: Place, channels: tuple[str, ...], as_json: bool) -> int:
    """Send one alert to each channel of `alerts.channels`, now. Exits 4 if one did not take it."""
    from crmbridge import notify
    from workers.alerting import channel_of, test_body

    settings = place.settings()
    known = settings.alerts.channels
    unknown = [name for name in channels if name not in known]
    if unknown or not known:
        there = ", ".join(known) or "none"
        told = f"There is no channel {unknown[0]}" if unknown else "There are no channels"
        raise ConfigError(f"{told}; under alerts.channels there are: {there}.", fix="Write one into crmbridge.yaml.")
    results: dict[str, str | None] = {}
    with place.store() as store:
        body = test_body(store.installation_id(), store.now())
    for name in channels or known:
        try:
            notify.tell(channel_of(known[name]), body)
        except (notify.NotTold, CrmBridgeError) as reason:
            results[name] = str(reason)
        else:
            results[name] = None
    failed = [name for name, reason in results.items() if reason is not None]
    if as_json:
        from crmbridge.cli.output import print_json

        document = {"ok": not failed, "channels": {name: {"error": reason} for name, reason in results.items()}}
        print_json(document)
    else:
        for name, reason in results.items():
            click.echo(f"{name}: {'taken' if reason is None else f'NOT taken: {reason}'}")
    return 4 if failed else 0


def _document(store: Any) -> dict[str, Any]:
    return {"alarms": alarms_document(store), "not_sent": [_message(one) for one in store.alerts_waiting()]}


def alarms_document(store: Any) -> list[dict[str, Any]]:
    from crmbridge.alerts import FIXES, PAGE

    return [
        {
            "alarm": one.key,
            "kind": one.kind,
            "message": one.message,
            "since": one.since,
            "told_at": one.told_at,
            "what_to_do": FIXES.get(one.kind, ""),
            "page": f"{PAGE}#{one.kind}",
        }
        for one in store.alarms()
    ]


def _message(one: Any) -> dict[str, Any]:
    body: Mapping[str, str] = one.body
    return {
        "channel": one.channel, "alarm": body["alarm"], "event": body["event"],
        "attempts": one.attempts, "error": one.error,
    }  # fmt: skip


def _print(document: dict[str, Any], as_json: bool) -> int:
    code = 1 if document["alarms"] else 0
    if as_json:
        from crmbridge.cli.output import print_json

        print_json({"ok": not code, **document})
        return code
    from crmbridge.cli.output import say, table

    if not document["alarms"]:
        say("Nothing is out of order.")
    print_alarms(document["alarms"])
    table(
        ["not sent yet", "alarm", "event", "tries", "why"],
        [[one["channel"], one["alarm"], one["event"], one["attempts"], one["error"]] for one in document["not_sent"]],
    )
    return code


def print_alarms(alarms: list[dict[str, Any]]) -> None:
    from crmbridge.cli.output import head, say

    for one in alarms:
        head(f"ALARM {one['alarm']}: {one['message']}")
        say(f"  since {one['since']:%Y-%m-%d %H:%M} UTC; look: {one['what_to_do']}; more: {one['page']}")
