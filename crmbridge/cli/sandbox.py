"""`crmbridge sandbox`: both CRMs on localhost, until Ctrl-C or SIGTERM."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

if TYPE_CHECKING:
    from crmbridge.sandbox.sandbox import Sandbox

PORT_DEFAULT = 8100
EXIT_CONFIG, EXIT_OUTSIDE, EXIT_INTERRUPTED = 2, 4, 130


@click.command("sandbox")
@click.option(
    "--port",
    type=click.IntRange(0, 65_527),
    default=PORT_DEFAULT,
    show_default=True,
    help="First of 7 or 8 neighbouring ports; 0: any free ones.",
)
@click.option(
    "--seed",
    default="sample",
    show_default=True,
    metavar="sample|empty|SHAPE",
    help="What the CRMs hold: sample records, people only, or a shape file or folder of yours.",
)
@click.option(
    "--load",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Records of yours besides: DIR/salesforce/Lead.csv, DIR/dynamics/lead.csv, or .json.",
)
@click.option(
    "--size",
    type=click.IntRange(0, 20_000_000),
    default=0,
    metavar="N",
    help="Make up N leads on each side, with accounts, contacts and opportunities.",
)
@click.option("--random-seed", type=int, default=20, show_default=True, help="Which made-up ones: the same come again.")
@click.option(
    "--faults",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="A scenario of failures: rates, bursts and single shots, by operation.",
)
@click.option("--proxy", is_flag=True, help="Also a CONNECT proxy, for clients whose login hosts are fixed.")
@click.option(
    "--state-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the certificate authority and keys stay between starts; by default they go when the sandbox stops.",
)
@click.option("--json", "as_json", is_flag=True, help="Print how to connect as one JSON document.")
def sandbox_command(
    port: int,
    seed: str,
    load: Path | None,
    size: int,
    random_seed: int,
    faults: Path | None,
    proxy: bool,
    state_dir: Path | None,
    as_json: bool,
) -> None:
    """Run both CRMs on localhost, over http and https, and print how to connect.

    Nothing leaves this machine, and nothing is kept: records live until the sandbox stops.
    """
    try:
        box = _box(seed, faults, load=load, size=size, random_seed=random_seed)
        interrupted = _serve(box, port=port, proxy=proxy, state_dir=state_dir, as_json=as_json)
    except ModuleNotFoundError as missing:
        if (missing.name or "").startswith("crmbridge"):
            raise
        _fail(EXIT_CONFIG, f"The sandbox needs the package {missing.name!r}: pip install 'crmbridge[sandbox]'.")
    except OSError as problem:
        _fail(EXIT_OUTSIDE, f"The sandbox could not start: {problem}")
    except KeyboardInterrupt:  # while it still makes its records: there is nothing to tell of
        interrupted = True
    if interrupted:
        raise SystemExit(EXIT_INTERRUPTED)


def _box(seed: str, faults: Path | None, *, load: Path | None, size: int, random_seed: int) -> "Sandbox":
    from crmbridge.sandbox.sandbox import Sandbox
    from crmbridge.sandbox.scenario import ScenarioError, read_scenario
    from crmbridge.sandbox.seed import SeedError

    try:
        scenario = read_scenario(faults) if faults is not None else None
        box = Sandbox(seed, load=load, size=size, random_seed=random_seed)
    except ScenarioError as problem:
        _fail(EXIT_CONFIG, f"--faults: {problem}")
    except SeedError as problem:
        _fail(EXIT_CONFIG, f"--load: {problem}" if load is not None else f"--seed: {problem}")
    for crm, tables in box.made.items():
        rows = ", ".join(f"{count:,} {table}" for table, count in tables.items())
        click.echo(f"{crm.capitalize()}: {rows} (--random-seed {random_seed})", err=True)
    if scenario is not None:
        box.arm(scenario)
    return box


def _serve(box: "Sandbox", *, port: int, proxy: bool, state_dir: Path | None, as_json: bool) -> bool:
    """Serve until a signal comes; True if it was Ctrl-C."""
    import asyncio
    import gc
    import signal
    import tempfile
    from contextlib import ExitStack

    from crmbridge.sandbox.server import serving

    gc.collect()
    gc.freeze()  # the rows it begins with are looked at once, not time and again while it answers

    async def main(directory: Path) -> bool:
        loop = asyncio.get_running_loop()
        stopped: asyncio.Future[int] = loop.create_future()

        def stop(number: int) -> None:
            if not stopped.done():
                stopped.set_result(number)

        # Not the loop's own handlers: as it gives them up, it hands signals back to Python for a moment.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda number, _: loop.call_soon_threadsafe(stop, number))
        async with serving(box, port=port, proxy=proxy, state_dir=directory) as connect:
            _announce(connect, as_json=as_json)
            number = await stopped
        for other in (signal.SIGINT, signal.SIGTERM):  # it ends already, and a loop that is closed takes none
            signal.signal(other, signal.SIG_IGN)
        return number == signal.SIGINT

    with ExitStack() as stack:
        directory = state_dir or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="crmbridge-sandbox-")))
        return asyncio.run(main(directory))


def _announce(connect: dict[str, Any], *, as_json: bool) -> None:
    import json
    import sys

    if as_json:
        click.echo(json.dumps(connect, indent=2))
        sys.stdout.flush()
        return
    for crm in ("salesforce", "dynamics"):
        click.secho(crm.capitalize(), bold=True)
        for name, value in connect[crm].items():
            click.echo(f"  {name:<17} {value}")
    for name in ("ca_path", "proxy_url", "control_url"):
        if connect[name]:
            click.echo(f"{name:<19} {connect[name]}")
    sys.stdout.flush()
    click.echo("Both CRMs are ready; Ctrl-C stops them.", err=True)


def _fail(code: int, sentence: str) -> NoReturn:
    click.echo(sentence, err=True)
    raise SystemExit(code)
