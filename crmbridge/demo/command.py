"""`crmbridge demo`."""

import rich_click as click


@click.command("demo")
@click.option("--json", "as_json", is_flag=True, help="Print what happened as one JSON document.")
def demo(as_json: bool) -> int:
    """See it all at work: two CRMs on this machine, a first run, a day at two companies, and the proof that they agree.

    Nothing leaves this machine, no account is needed, and nothing is left behind. Ends 0 if exactly what was announced
    has happened, refused and held records included.
    """
    from crmbridge.cli.output import print_json
    from crmbridge.demo.run import run_demo

    document = run_demo(say=lambda text: click.echo(text, err=as_json))
    if as_json:
        print_json(document)
    return 0 if document["ok"] else 3
