"""`crmbridge relink`: after a restore, or once another installation is stopped, find again what was made meanwhile."""

from typing import TYPE_CHECKING, Any

import rich_click as click

from crmbridge.cli.context import Place

if TYPE_CHECKING:
    from crmbridge.sync.relink import Relinked


@click.command("relink")
@click.option("--by", default="", metavar="NAME", help="Who decides; default: the user of this system.")
@click.option("--why", default="", metavar="TEXT", help="Kept with the alarms that end by it.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_obj
def relink(place: Place, by: str, why: str, as_json: bool) -> int:
    """Find again what was made and the store does not know: after a restore, or when a second installation was
    stopped. Reads both CRMs and writes to neither; afterwards syncs write again. Exits 1 while something is left
    for a person."""
    with place.engine() as engine:
        done = engine.relink(by=by, why=why)
    if as_json:
        from crmbridge.cli.output import print_json

        print_json(document(done))
    else:
        _print(done)
    return done.exit_code


def document(done: "Relinked") -> dict[str, Any]:
    from crmbridge.cli.sync import issue_document

    return {
        "ok": not done.held,
        "run": done.run_id,
        "found": dict(sorted(done.found.items())),
        "ended": done.ended,
        "released": done.released,
        "held": [issue_document(one) for one in done.held],
    }


def _print(done: "Relinked") -> None:
    from crmbridge.cli.output import many, say

    total = sum(done.found.values())
    say(f"{many(total, 'pair')} found again{'' if done.found else '; nothing was missing'}.")
    for how, count in sorted(done.found.items()):
        say(f"  by {how}: {count:,}")
    if done.ended:
        say(f"{many(done.ended, 'record')} lost the partner meanwhile; none is made for them again.")
    if done.released:
        say(f"{many(done.released, 'alarm')} ended; syncs write again.")
    if done.held:
        say(f"{many(len(done.held), 'record')} of ours without a partner, for you to decide: crmbridge issues")
    say("Now read `crmbridge plan` before the next sync.")
