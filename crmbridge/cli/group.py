"""The group of all commands. It knows their names and one line about each; the modules are imported when needed."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final

import rich_click as click
from rich_click import RichCommand, RichContext, RichGroup

from crmbridge.cli.context import Place

# name -> (where the command is, what it does); in the order in which people need them
Table = dict[str, tuple[str, str]]
COMMANDS: Final[Table] = {
    "demo": ("crmbridge.demo.command:demo", "See it all at work, on a sandbox of both CRMs on this machine."),
    "sandbox": ("crmbridge.cli.sandbox:sandbox_command", "Run both CRMs on localhost, to try things on."),
    "init": ("crmbridge.cli.start:init", "Make a working folder: crmbridge.yaml, mappings, .env.example."),
    "check": ("crmbridge.cli.check:check", "Find all that is wrong with settings and mappings."),
    "setup": ("crmbridge.cli.setup:setup", "Say what crmbridge wants in both CRMs, and make what they let it."),
    "mapping": ("crmbridge.cli.mapping.group:mapping_group", "Try, compare, explain and tidy the mapping files."),
    "capture": (
        "crmbridge.cli.capture:capture",
        "Write down what both systems are made of, for a sandbox; no records.",
    ),
    "plan": ("crmbridge.cli.sync:plan", "Say what a sync would do; nothing is written."),
    "sync": ("crmbridge.cli.sync:sync", "Bring both CRMs in step, once, in this process."),
    "up": ("crmbridge.cli.up:up", "Keep them in step: scheduler, worker and broker in one process tree."),
    "verify": ("crmbridge.cli.verify:verify", "Compare both CRMs: counts, sums of money, differences by field."),
    "pause": ("crmbridge.cli.pause:pause", "Let writes wait: of a kind of record, to one side, or all."),
    "resume": ("crmbridge.cli.pause:resume", "Go on with what was paused."),
    "status": ("crmbridge.cli.status:status", "How things stand: lag, backlog, what waits or failed, who works."),
    "metrics": ("crmbridge.cli.metrics:metrics", "Serve numbers for Prometheus, /healthz and /readyz."),
    "healthy": ("crmbridge.cli.metrics:healthy", "One line and an exit code for health checks."),
    "limits": ("crmbridge.cli.limits:limits_command", "Calls of the day, and what keeps them from a CRM; lift it."),
    "alerts": ("crmbridge.cli.alerts:alerts_group", "What is out of order, and who hears of it."),
    "runs": ("crmbridge.cli.status:runs", "What was run when, and what came of it."),
    "show": ("crmbridge.cli.records:show", "All that is known about one record."),
    "why": ("crmbridge.cli.why:why", "Why a field of a record has the value it has."),
    "issues": ("crmbridge.cli.issues:issues", "What is held or failed, by cause, and what to do."),
    "retry": ("crmbridge.cli.issues:retry", "Try held or failed records again in the next sync."),
    "resolve": ("crmbridge.cli.issues:resolve", "Decide an open issue, or a conflict of a whole field."),
    "relink": ("crmbridge.cli.relink:relink", "After a restore: find again what was made since, write nothing."),
    "report": ("crmbridge.cli.report:report", "Write a masked bundle for whoever helps from outside."),
    "erase": ("crmbridge.cli.erase:erase", "Remove every trace of a person from the store, and keep the person out."),
}
PANELS: Final = [
    {"name": "Try it", "commands": ["demo", "sandbox"]},
    {"name": "Set it up", "commands": ["init", "check", "setup", "mapping", "capture"]},
    {"name": "Run it", "commands": ["plan", "sync", "up", "verify", "pause", "resume"]},
    {"name": "Look into it", "commands": ["status", "runs", "show", "why", "issues", "retry", "resolve", "relink"]},
    {"name": "Watch it", "commands": ["metrics", "healthy", "limits", "alerts"]},
    {"name": "Keep the data", "commands": ["report", "erase"]},
]


class LateGroup(RichGroup):
    """Imports a command's module when the command is called; help needs the table only."""

    def __init__(self, *args: Any, table: Mapping[str, tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._table:
            return None
        if not ctx.meta.get(self._resolving):  # a line of the group's help
            return RichCommand(name=cmd_name, help=self._table[cmd_name][1])
        return self.real(cmd_name)

    def real(self, name: str) -> click.Command:
        module, _, attribute = self._table[name][0].partition(":")
        return getattr(import_module(module), attribute)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in self._table:
            from difflib import get_close_matches

            near = get_close_matches(args[0], self._table, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise click.UsageError(f"There is no command {args[0]!r}.{hint}", ctx)
        ctx.meta[self._resolving] = True
        return super().resolve_command(ctx, args)

    @property
    def _resolving(self) -> str:
        return f"crmbridge.resolving.{self.name}"  # of this group: a context shares its notes with those inside it


@click.group(
    cls=LateGroup,
    table=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
    epilog="Exit codes: 0 done, 1 records held or stopped by the guard, 2 configuration, 3 our bug, "
    "4 something outside did not serve, 130 interrupted.",
)
@click.option(
    "--config",
    metavar="FILE",
    envvar="CRMBRIDGE_CONFIG",
    help="The settings. Default: $CRMBRIDGE_CONFIG, then crmbridge.yaml in the working directory.",
)
@click.option(
    "--profile",
    metavar="NAME",
    envvar="CRMBRIDGE_PROFILE",
    help="Lay crmbridge.NAME.yaml and mappings/*.NAME.yaml over the files. Default: $CRMBRIDGE_PROFILE.",
)
@click.version_option(package_name="crmbridge", prog_name="crmbridge")
@click.rich_config(help_config={"command_groups": {"crmbridge": PANELS}, "show_arguments": True})
@click.pass_context
def cli(ctx: RichContext, config: str | None, profile: str | None) -> None:
    """Keeps Salesforce and Dynamics 365 Sales in step: leads, opportunities and, above all, conversions."""
    ctx.obj = Place(config=config, profile=profile)
