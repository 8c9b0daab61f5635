"""The commands below `crmbridge mapping`; each one's module is imported when it is called."""

from typing import Final

import rich_click as click

from crmbridge.cli.group import LateGroup, Table

# name -> (where the command is, what it does); in the order in which people need them
COMMANDS: Final[Table] = {
    "init": ("crmbridge.cli.mapping.init:init", "Draft all mapping files from what both systems say of themselves."),
    "preview": (
        "crmbridge.cli.mapping.preview:preview",
        "Show records as the mapping reads them, and what it would write.",
    ),
    "diff": ("crmbridge.cli.mapping.diff:diff", "Tell which records a change of the mapping touches, and how."),
    "unmapped": (
        "crmbridge.cli.mapping.unmapped:unmapped",
        "List values that no row reads, each with the line to paste.",
    ),
    "test": ("crmbridge.cli.mapping.test:test", "Try the examples of the mappings: given this, expect that."),
    "capture": ("crmbridge.cli.mapping.capture:capture", "Write an example from a real record, masked."),
    "fmt": ("crmbridge.cli.mapping.fmt:fmt", "Tidy the files; values and comments never change."),
    "explain": ("crmbridge.cli.mapping.explain:explain", "Show the life cycle and its rows, as a table or a diagram."),
    "schema": ("crmbridge.cli.mapping.schema:schema", "Write what an editor needs to complete and explain."),
    "versions": ("crmbridge.cli.mapping.versions:versions", "List the mappings by which runs went."),
    "accept": ("crmbridge.cli.mapping.accept:accept", "Go on with records whose fields changed their type in a CRM."),
    "rollback": ("crmbridge.cli.mapping.versions:rollback", "Write the files of an earlier version back."),
}


@click.group("mapping", cls=LateGroup, table=COMMANDS)
def mapping_group() -> None:
    """Try, compare, explain and tidy the mapping files. Every command below takes --json."""
