"""`crmbridge erase`: take a person out of the store. What it will do is shown first; the CRMs are not written to."""

import getpass
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import rich_click as click

from crmbridge.cli.context import Place, names
from crmbridge.cli.find import candidates
from crmbridge.errors import ConfigError
from crmbridge.model import ENTITIES, SIDES, Ref, Side

if TYPE_CHECKING:
    from crmbridge.state.store import Store
    from crmbridge.state.traces import Traces

ERASE_LEASE_SECONDS: Final = 600  # a large store is read through once
_HOW_TO_NAME: Final = "PERSON is an e-mail address, a shared id, a native id or a CRM URL of a lead or contact."


@click.command("erase")
@click.argument("person", metavar="[PERSON]", required=False)
@click.option("--yes", is_flag=True, help="Do it. Without this it is only shown.")
@click.option("--only", is_flag=True, help="Of this one pair alone, not the same person's other records.")
@click.option("--abandon", is_flag=True, help="Also where a conversion is held: it will never be mirrored.")
@click.option("--allow-again", is_flag=True, help="Let an erased record be read again; PERSON is its native id.")
@click.option("--clean-up", is_flag=True, help="Only overwrite what was deleted in the store's own files.")
@click.option("--by", metavar="NAME", help="Who decided. Default: the user of this machine.")
@click.option("--why", default="", help="Why, for the record; without the person's data. Needed with --yes.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_obj
def erase(
    place: Place,
    person: str | None,
    yes: bool,
    only: bool,
    abandon: bool,
    allow_again: bool,
    clean_up: bool,
    by: str | None,
    why: str,
    as_json: bool,
) -> int:
    """Remove every trace of a person from the store, and keep the person out. Nothing is written to a CRM.

    PERSON is an e-mail address, a shared id, a native id or a CRM URL of a lead or contact. Shows what it would do;
    --yes does it. Records that are still in a CRM are not read again until somebody says --allow-again.
    """
    if clean_up == (person is not None):
        raise click.UsageError("Give a PERSON, or --clean-up alone.")
    settings = place.settings()
    connections = names(settings)
    who = by or getpass.getuser()
    with place.store() as store:
        if person is None:
            return _tell_clean(store.scour(), as_json, {})
        if allow_again:
            return _allow(store, person, connections, as_json)
        refs = _named(store, person)
        found = store.traces(refs, alone=only)
        files = _files(settings.folder, settings.mappings_folder, found.words)
        _refuse(found, abandon=abandon)
        if not yes:
            return _show(found, files, connections, as_json)
        _refuse_reason(why, found)
        from crmbridge.sync.hands import LEASE_NAME

        lease = store.take_lease(LEASE_NAME, ERASE_LEASE_SECONDS)  # no run may have the person in its hands
        try:
            found = store.traces(refs, alone=only)
            _refuse(found, abandon=abandon)
            number = store.erase(found, who, why, lease=lease)
        finally:
            store.release(lease)
        clean = store.scour()
    return _tell_clean(clean, as_json, {"erasure": number, **_document(found, files, connections)})


# --- who ----------------------------------------------------------------------------------------------------------


def _named(store: "Store", text: str) -> set[Ref]:
    entity, colon, rest = text.partition(":")
    email = rest if colon and entity in ENTITIES else text
    if "@" in email and "/" not in email:
        refs = store.people(email)
        if not refs:
            raise ConfigError("No lead or contact in the store has that e-mail address.", fix=_HOW_TO_NAME)
        return refs
    refs: set[Ref] = set()
    for one in candidates(text):
        for kind, link, ref in store.find_record(one):
            ends: dict[Side, str | None] = {side: link.id_on(side) for side in SIDES} if link else {}
            refs |= {Ref(side=side, entity=kind, id=id) for side, id in ends.items() if id is not None}
            refs |= {ref} if ref is not None else set()
    if not refs:
        if store.erased(_places(text)):
            raise ConfigError(
                "That record was erased before, and is kept out.", fix="--allow-again lets it be read again."
            )
        raise ConfigError(f"No record is known as {text!r}.", fix=_HOW_TO_NAME)
    persons = {ref for ref in refs if ref.entity in ("lead", "contact")}
    persons |= store.person_accounts(refs - persons)
    if not persons:
        kinds = ", ".join(sorted({ref.entity for ref in refs}))
        raise ConfigError(f"{text!r} is no person: {kinds}.", fix=_HOW_TO_NAME)
    return persons


def _places(text: str) -> set[Ref]:
    """A native id alone does not say where it is from, nor of what."""
    return {Ref(side=side, entity=entity, id=id) for side in SIDES for entity in ENTITIES for id in candidates(text)}


def _files(folder: Path, mappings: Path, words: Collection[str]) -> list[str]:
    """Files of ours that name the person: examples that were taken over, shapes, lists of what was held."""
    found: list[str] = []
    wanted = [word.casefold() for word in words]
    places = {*folder.glob("*.y*ml"), *folder.glob("*.csv"), *folder.glob("*.json"), *mappings.glob("**/*.y*ml")}
    for file in sorted(places):
        lines = file.read_text(encoding="utf-8", errors="replace").casefold().splitlines()
        found += [f"{file}:{n}" for n, line in enumerate(lines, 1) if any(word in line for word in wanted)]
    return found


# --- what stands in the way ---------------------------------------------------------------------------------------


def _refuse(found: "Traces", *, abandon: bool) -> None:
    if found.open_calls:
        raise ConfigError(
            f"{found.open_calls} call(s) about this person have no answer yet; without the person nobody could look "
            "what came of them. Nothing was erased.",
            fix="Run `crmbridge sync`, which looks, and then erase again.",
            code="erase",
        )
    called = [link for link, state in found.open_conversions.items() if state == "called"]
    if called or (found.open_conversions and not abandon):
        states = ", ".join(sorted(set(found.open_conversions.values())))
        fix = "Run `crmbridge sync`, so that it is finished, and then erase again."
        if not called:
            fix += " One that is held: `crmbridge issues` says why; --abandon gives it up for good."
        raise ConfigError(
            f"A conversion of this person is not finished ({states}). Nothing was erased.", fix=fix, code="erase"
        )


def _refuse_reason(why: str, found: "Traces") -> None:
    if not why.strip():
        raise click.UsageError("--yes wants --why: who asked for it, or by which rule; without the person's data.")
    folded = why.casefold()
    if any(word.casefold() in folded for word in (*found.words, *found.names) if len(word) > 2):
        raise ConfigError(
            "--why names the person, and it is kept.", fix="Write for instance the number of the request.", code="erase"
        )


# --- what is told -------------------------------------------------------------------------------------------------


def _document(found: "Traces", files: list[str], connections: Mapping[Side, str]) -> dict[str, Any]:
    def told(refs: Collection[Ref]) -> list[dict[str, str]]:
        return [{"connection": connections[ref.side], "entity": ref.entity, "id": ref.id} for ref in refs]

    named = [
        {**one, "fields": list(columns)}
        for one, columns in zip(told(list(found.mentions)), found.mentions.values(), strict=True)
    ]
    return {
        "records": told(found.refs),
        "removed": dict(found.counts),
        "blotted": {name: len(keys) for name, keys in found.texts.items()},
        "conversions_given_up": len(found.open_conversions),
        "left": {"same_email": told(found.alike), "named_in": named, "files": files},
    }


def _show(found: "Traces", files: list[str], connections: Mapping[Side, str], as_json: bool) -> int:
    document = _document(found, files, connections)
    if as_json:
        from crmbridge.cli.output import print_json

        print_json({"ok": True, "done": False, **document})
        return 0
    _print(document)
    click.echo("Nothing was done yet. To erase all this for good: the same command with --yes --why REASON.")
    return 0


def _print(document: Mapping[str, Any]) -> None:
    from crmbridge.cli.output import head, many, say, table

    head("This person in the store")
    table(["on", "what", "id"], [list(one.values()) for one in document["records"]])
    say("Removed, or emptied where a number must stay true:")
    table(["kept in", "lines"], [[name, n] for name, n in document["removed"].items() if n], right=["lines"])
    if document["blotted"]:
        say("Blotted out where other records' history names the person:")
        table(["kept in", "lines"], list(document["blotted"].items()), right=["lines"])
    left = document["left"]
    if document["conversions_given_up"]:
        say(f"{many(document['conversions_given_up'], 'conversion')} will never be mirrored.")
    if left["same_email"]:
        say("Not meant, since they have another name; erase them by their id, or all by the e-mail address:")
        table(["on", "what", "id"], [list(one.values()) for one in left["same_email"]])
    if left["named_in"]:
        say("These name the person in a value of their own. It stays as long as it stands in the CRM; change it there:")
        rows = [[one["connection"], one["entity"], one["id"], ", ".join(one["fields"])] for one in left["named_in"]]
        table(["on", "what", "id", "fields"], rows)
    for file in left["files"]:
        say(f"{file} names the person: edit it.")
    say("The CRMs are not written to: delete the person there as well, or it stays there and is not synced any more.")
    say("Backups and logs that were made before still hold what they hold.")


def _tell_clean(clean: bool, as_json: bool, document: Mapping[str, Any]) -> int:
    fix = "Somebody was reading the store, so deleted lines may still stand in its files: crmbridge erase --clean-up"
    if as_json:
        from crmbridge.cli.output import print_json

        print_json({"ok": clean, "done": True, "clean": clean, **document})
        return 0 if clean else 1
    if document:
        _print(document)
        click.echo(f"Erased; noted under number {document['erasure']}.")
    click.echo("Nothing that was deleted stands in the store's files any more." if clean else fix)
    return 0 if clean else 1


def _allow(store: "Store", text: str, connections: Mapping[Side, str], as_json: bool) -> int:
    back = sorted(store.let_back(_places(text)), key=str)
    if not back:
        raise ConfigError(
            "No record of that id was erased.", fix="Give the native id that it has in its CRM.", code="erase"
        )
    told = [f"{ref.entity} {ref.id} on {connections[ref.side]}" for ref in back]
    if as_json:
        from crmbridge.cli.output import print_json

        print_json({"ok": True, "allowed": told})
        return 0
    click.echo(f"{', '.join(told)}: synced again from its next change on. Its partner was erased on its own.")
    return 0
