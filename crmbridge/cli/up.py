"""`crmbridge up`: everything in one process tree, until it is told to stop."""

import signal

import rich_click as click

from crmbridge.cli.context import Place
from crmbridge.cli.error_handler import DONE, INTERRUPTED


@click.command("up")
@click.option(
    "--grace",
    type=click.FloatRange(0, 3600),
    default=180.0,
    show_default=True,
    help="Seconds that a cycle under way may take once it is told to stop.",
)
@click.pass_obj
def up(place: Place, grace: float) -> int:
    """Keep both CRMs in step: scheduler, worker and broker in one process tree; no services are needed.

    Logs go to stderr. Ctrl-C or SIGTERM stops it when the cycle under way has ended. A first run waits for your yes:
    crmbridge plan, then crmbridge sync --approve PLAN.
    """
    from workers.up import up as run

    return INTERRUPTED if run(place.settings(), grace_seconds=grace) == signal.SIGINT else DONE
