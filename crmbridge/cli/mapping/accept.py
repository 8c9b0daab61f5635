"""`crmbridge mapping accept`: a field's new type is right, and its kind of record goes on."""

import json

import rich_click as click

from crmbridge.cli.context import Place
from crmbridge.cli.mapping.common import json_option
from crmbridge.drift import DRIFT_META, SHAPE_META, told
from crmbridge.errors import ConfigError
from crmbridge.model import ENTITIES, Entity


@click.command("accept")
@click.argument("entity", type=click.Choice(ENTITIES))
@json_option
@click.pass_obj
def accept(place: Place, entity: Entity, as_json: bool) -> None:
    """Go on with records of this kind although fields of theirs changed their type in a CRM.

    A field that is gone stops them all the same: take it out of the mapping, or bring it back.
    """
    with place.store() as store:
        stopped = told(store.meta(DRIFT_META)).get(entity, ())
        if not stopped:
            raise ConfigError(f"{entity} records are not stopped.", fix="`crmbridge status` tells which are.")
        kept = json.loads(store.meta(SHAPE_META + entity) or "{}")
        # As if the mapping had been changed to them: the next run notes the types that are there now.
        store.set_meta(SHAPE_META + entity, json.dumps({**kept, "terms": ""}, sort_keys=True))
    if as_json:
        from crmbridge.cli.output import print_json

        print_json({"ok": True, "entity": entity, "accepted": list(stopped)})
        return
    for sentence in stopped:
        click.echo(sentence)
    click.echo(f"The next run goes by what the CRMs have now. `crmbridge check --live` looks whether {entity} fits.")
