"""`crmbridge metrics` and `crmbridge healthy`: for machines that watch."""

import socket

import rich_click as click

from crmbridge.cli.context import Place
from crmbridge.cli.error_handler import DONE, OUTSIDE


@click.command("metrics")
@click.option(
    "--listen",
    metavar="HOST:PORT",
    default="127.0.0.1:9464",
    show_default=True,
    help="Where to serve. There is no login: bind it where only your monitoring comes.",
)
@click.pass_obj
def metrics(place: Place, listen: str) -> int:
    """Serve /metrics for Prometheus, /healthz and /readyz, all from the store; no CRM is asked.

    One process is enough for all workers. Ctrl-C or SIGTERM ends it. A dashboard and alert rules are in deploy/.
    """
    import signal
    from threading import Thread

    from workers.metrics import serve

    with place.store() as store, serve(store, place.settings(), listen) as server:

        def stop(number: int, frame: object) -> None:
            del number, frame
            Thread(target=server.shutdown).start()  # it waits for the loop that this handler interrupts

        for one in (signal.SIGTERM, signal.SIGINT):
            signal.signal(one, stop)
        click.echo(f"http://{listen}/metrics", err=True)
        server.serve_forever(poll_interval=0.2)
    return DONE


@click.command("healthy")
@click.option("--here", is_flag=True, help="By the signs of this host's (container's) own workers.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_obj
def healthy(place: Place, here: bool, as_json: bool) -> int:
    """Say in one line whether the store answers, and workers give signs and reach the broker; exit 4 if not."""
    from workers.metrics import not_ready

    with place.store() as store:
        reasons = not_ready(store, here=socket.gethostname() if here else None)
    if as_json:
        from crmbridge.cli.output import print_json

        print_json({"ok": not reasons, "reasons": reasons})
    else:
        click.echo("; ".join(reasons) or "ok")
    return OUTSIDE if reasons else DONE
