"""`crmbridge report`: a bundle for whoever helps from outside, masked. No CRM is asked."""

import secrets as chance
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import rich_click as click

from crmbridge.cli.context import Place, names
from crmbridge.errors import ConfigError

if TYPE_CHECKING:
    from crmbridge.settings import Settings

_WHAT: Final = {
    "versions.json": "crmbridge, Python and libraries",
    "settings.json": "numbers and switches of the settings; of names, addresses and secrets only that they are set",
    "store.json": "schema, counts, how far each table was read, what is stopped",
    "runs.json": "the last runs: how they ended, how much they did, how many requests they took",
    "issues.json": "open issues by cause, without messages; records as words that mean nothing elsewhere",
    "limits.json": "calls of the day and breakers, by side",
    "log.json": "structured lines of the log that was given, by known keys",
}
_README: Final = """\
Made by `crmbridge report`. It holds no record, no name of a person, no address, no host and no secret: each part was
chosen so, and then masked. Ids (`id-...`) mean the same within this bundle and nothing outside of it. Look through it
before you send it on.

{lines}
"""


@click.command("report")
@click.argument("file", metavar="[FILE.zip]", required=False, type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--log",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="A log of the workers; its structured lines go along, masked.",
)
@click.option("--force", is_flag=True, help="Replace the file if it exists.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document: the file, and what it holds.")
@click.pass_obj
def report(place: Place, file: Path | None, log: Path | None, force: bool, as_json: bool) -> None:
    """Write a support bundle: versions, settings, mappings, counts, runs and issues, masked.

    No record, name, address, host or secret is in it. Look through it before you send it on.
    """
    import json

    from crmbridge import private, wiring
    from crmbridge import report as bundle
    from crmbridge.cli.limits import limits
    from crmbridge.cli.output import print_json, say

    settings = place.settings(secrets=False)
    file = file or Path(f"crmbridge-report-{datetime.now(UTC):%Y%m%d-%H%M%S}.zip")
    if file.exists() and not force:
        raise ConfigError(f"{file} exists already.", fix="Choose another FILE, or say --force.", code="report")
    mask = _masker(settings)
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log is not None else []
    with place.store() as store:
        parts = bundle.parts(settings, store, wiring.mapping_texts(settings), lines, mask)
        stand: Any = list(limits(store, names(settings)).values())
    parts["limits.json"] = json.dumps(mask.all(stand), indent=1, default=str)
    held = {name: _WHAT.get(name, "a mapping, without comments and examples") for name in sorted(parts)}
    parts["README.txt"] = _README.format(lines="\n".join(f"{name}: {what}" for name, what in held.items()))
    _refuse_known(parts, mask.secrets)
    draft = file.with_name(f".{file.name}.new")
    private.touch(draft)
    with zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in sorted(parts.items()):
            archive.writestr(name, text)
    draft.replace(file)
    if as_json:
        print_json({"file": str(file), "holds": held})
        return
    say(f"{file} holds, without people, hosts and secrets:")
    for name, what in held.items():
        say(f"  {name}: {what}")
    say("Look through it before you send it on.")


def _masker(settings: "Settings") -> Any:
    """Secrets are looked for as they are, in case one got into a mapping; those that lead nowhere cannot."""
    from crmbridge.settings.document import secrets_of
    from crmbridge.unnamed import masker

    known: set[str] = set()
    for _, secret in secrets_of(settings, ()):
        try:
            known.add(secret.get_secret_value())
        except ConfigError:
            continue
    urls = {url for one in settings.connections.values() for url in (one.url, one.login, one.proxy) if url}
    called = {name: side for side, name in names(settings).items() if name != settings.side(side).system}
    return masker(chance.token_bytes(16), known, urls, called)


def _refuse_known(parts: dict[str, str], known: tuple[str, ...]) -> None:
    for name, text in parts.items():
        if any(secret in text for secret in known):
            raise AssertionError(f"a secret would have been in {name} of a report")
