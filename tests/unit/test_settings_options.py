"""Choices of the life cycle and segments in `crmbridge.yaml`: read, explained where they are wrong, and compiled."""

from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from functools import reduce
from pathlib import Path

import pytest

from crmbridge import settings
from crmbridge.errors import ConfigError
from crmbridge.model import ENTITIES, Shared
from crmbridge.policy import Bucket, Convert, CreateBy, Owner, Policy, ReadAs, When
from crmbridge.segments import policies
from tests.support.coded import sentence
from tests.support.mapping_bench import SHIPPED

CONNECTIONS = """\
connections:
  sf: {system: salesforce, url: https://a.my.salesforce.com, auth: {flow: access_token, access_token: "${env:T}"}}
  crm: {system: dynamics, url: https://a.crm.dynamics.com, auth: {flow: client_secret, tenant_id: t, client_id: c,
    client_secret: "${env:T}"}}
"""


def read(folder: Path, text: str) -> settings.Settings:
    (folder / "crmbridge.yaml").write_text(CONNECTIONS + text)
    return settings.load(folder / "crmbridge.yaml", {"T": "x"})


def wrong(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(folder, text)
    return [sentence(problem.removeprefix(f"{folder}/")) for problem in caught.value.problems]


def tried(folder: Path, text: str) -> list[str]:
    try:
        read(folder, text)
    except ConfigError as error:
        return [sentence(problem.removeprefix(f"{folder}/")) for problem in error.problems]
    return []


def lead(**fields: str | None) -> Shared:
    return Shared(fields=fields, state="open", status="new", created_at=None)


def test_without_any_choice_the_defaults_hold(tmp_path: Path) -> None:
    assert policies(read(tmp_path, ""), SHIPPED).of("lead", lead(), now=datetime(2026, 3, 1, tzinfo=UTC)) == Policy()


def test_choices_are_laid_over_each_other(tmp_path: Path) -> None:
    found = policies(
        read(
            tmp_path,
            """\
lifecycle:
  owner: {lead: off, fallback: {crm: sales@acme.example}}
  scope: {account: {when: 'phone == "123"'}}
  contact: {consent: source}
segments:
  north:
    entities: [lead, account]
    when: phone == "123"
    master: {first: sf, cut_over: 2026-12-01, then: crm}
    lifecycle: {owner: {lead: create only}}
""",
        ),
        SHIPPED,
    )
    before, after = datetime(2026, 11, 30, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)
    assert found.of("lead", lead(phone="456"), now=before).owner == Owner(lead="off")
    assert found.of("contact").consent == "source"
    here = found.of("lead", lead(phone="123"), now=before)
    assert (here.owner.lead, here.master, here.segment) == ("create only", "left", "north")
    assert found.of("lead", lead(phone="123"), now=after).master == "right"
    assert found.of("opportunity", lead(phone="123"), now=after).segment is None
    scope = found.of("account").scope.account
    assert scope == When(when='phone == "123"')
    assert found.true_for(scope, "account", lead(phone="123"))
    assert not found.true_for(scope, "account", lead(phone=None))


def test_the_fallback_owner_goes_before_the_connections(tmp_path: Path) -> None:
    found = read(tmp_path, "lifecycle: {owner: {fallback: {crm: sales@acme.example}}}\n")
    assert found.options.fallback == {"right": "sales@acme.example"}


def _every_option() -> list[tuple[str, ...]]:
    """Options that are a word, by their keys."""
    found: list[tuple[str, ...]] = []
    for group in fields(Policy):
        inner = getattr(Policy(), group.name)
        found += [(group.name, one.name) for one in fields(inner)] if is_dataclass(inner) else []
    return [one for one in found if one[1] not in {"create_by", "fallback"}] + [("convert", "create_by", "account")]


# One that each takes; most know their default, and some of the others have none.
WORDS = {"owner": "off", "create_by": "us"}
MEANT = {
    ("convert", "mirror"): {"lead"},
    ("convert", "create_by", "account"): {"lead"},
    ("close", "won_amount"): {"opportunity"},
    ("close", "over_disqualified"): {"lead"},
    ("close", "no_customer"): {"opportunity"},
    ("move", "new"): set(ENTITIES),
    ("move", "stage"): {"opportunity"},
    ("move", "unmapped"): {"lead", "opportunity"},
    ("move", "inactive"): {"account", "contact"},
    ("remove", "delete"): set(ENTITIES),
    ("remove", "undelete"): set(ENTITIES),
    ("scope", "account"): {"account"},
    ("owner", "lead"): {"lead"},
}


@pytest.mark.parametrize("keys", _every_option(), ids=".".join)
def test_an_option_under_a_kind_of_record_that_it_does_nothing_for_is_refused(
    tmp_path: Path, keys: tuple[str, ...]
) -> None:
    word, option = WORDS.get(keys[-2]) or reduce(getattr, keys, Policy()), ".".join(keys)

    def inside(entity: str) -> str:
        return reduce(lambda inner, key: f"{{{key}: {inner}}}", reversed((entity, *keys)), str(word))

    told = {entity: tried(tmp_path, f"lifecycle: {inside(entity)}\n") for entity in ENTITIES}
    taken = {entity for entity, problems in told.items() if not problems}
    assert taken, "it is for somebody"
    assert taken == MEANT.get(keys, taken)
    for entity in set(ENTITIES) - taken:
        [problem] = told[entity]
        assert f"lifecycle.{entity}.{option}: {option} is for {' and '.join(sorted(taken))} records" in problem
    for entity in ENTITIES:  # in a segment, though it is called like a kind of record
        found = tried(tmp_path, f"segments: {{lead: {{lifecycle: {inside(entity)}}}}}\n")
        assert [bool(found), len(found)] == [entity not in taken, len(told[entity])]


def test_a_part_of_the_records_may_have_a_fallback_owner_of_its_own(tmp_path: Path) -> None:
    text = """\
lifecycle: {owner: {fallback: {crm: all@acme.example}}, lead: {owner: {fallback: {crm: leads@acme.example}}}}
segments: {shop: {lifecycle: {owner: {lead: off, fallback: {sf: shop@acme.example}}}}}
"""
    found = read(tmp_path, text)
    assert found.options.fallback == {"right": "all@acme.example"}, "which goes to the connection"
    chosen = policies(found, SHIPPED)
    assert chosen.of("opportunity").owner.fallback == {}
    base, shop = (policy.owner for policy in chosen.every("lead"))
    assert base.fallback == {"right": "leads@acme.example"}
    assert (shop.lead, shop.fallback) == ("off", {"left": "shop@acme.example", "right": "leads@acme.example"})
    told = wrong(tmp_path, "segments: {shop: {lifecycle: {owner: {fallback: {crn: x@y.example, sf: you}}}}}\n")
    assert told == [
        "crmbridge.yaml:5:50: segments.shop.lifecycle.owner.fallback.crn: unknown key; did you mean 'crm'?",
        "crmbridge.yaml:5:72: segments.shop.lifecycle.owner.fallback.sf: must be the e-mail address of a user there",
    ]


def test_what_is_wrong_is_told_at_its_place(tmp_path: Path) -> None:
    assert wrong(
        tmp_path,
        """\
lifecycle:
  convert: {mirror: sometimes}
  owners: {lead: off}
  scope: {account: {if: x}}
  move: {status: salesforce}
  lead: never
segments:
  north: {entitys: [lead], entities: [leads], master: sales, when: ""}
  south: {master: {first: sf, cut_over: soon}}
  west: x
""",
    ) == [
        "crmbridge.yaml:12:11: segments.north.entitys: unknown key; did you mean 'entities'?",
        "crmbridge.yaml:12:68: segments.north.when: must be an expression, such as 'country == \"DE\"'",
        "crmbridge.yaml:12:38: segments.north.entities: must be a list of account, contact, lead, opportunity; "
        "did you mean 'lead'?",
        "crmbridge.yaml:12:55: segments.north.master: must be one of sf, crm",
        "crmbridge.yaml:13:19: segments.south.master: needs first, cut_over and then together, or one name alone "
        "(sf, crm)",
        "crmbridge.yaml:13:41: segments.south.master.cut_over: must be a day or an instant, such as 2026-11-30 or "
        "2026-11-30T08:00:00Z",
        "crmbridge.yaml:14:9: segments.west: must be a section with keys such as when, master, lifecycle",
        "crmbridge.yaml:6:21: lifecycle.convert.mirror: must be one of always, never, {when: …}",
        "crmbridge.yaml:7:3: lifecycle.owners: unknown key; did you mean 'owner'?",
        "crmbridge.yaml:8:20: lifecycle.scope.account: must be one of touched, all, {when: …}",
        "crmbridge.yaml:9:18: lifecycle.move.status: must be one of both, off, sf, crm",
        "crmbridge.yaml:10:9: lifecycle.lead: must be a section with keys such as convert",
    ]


@pytest.mark.parametrize(
    ("when", "told"),
    [
        ("town == 'Kiel'", "for lead records: character 1: there is no field 'town'"),
        ("city + 1", "for lead records: "),
        ("city.size() > 3", "fails where city is blank; write `city != null && …` before it"),
    ],
)
def test_an_expression_that_cannot_work_is_refused_before_anything_is_read(
    tmp_path: Path, when: str, told: str
) -> None:
    found = read(tmp_path, f'segments:\n  x:\n    entities: [lead]\n    when: "{when}"\n')
    with pytest.raises(ConfigError) as caught:
        policies(found, SHIPPED)
    assert len(caught.value.problems) == 1
    assert caught.value.problems[0].removeprefix(f"{tmp_path}/").startswith("crmbridge.yaml:8:11: segments.x.when: ")
    assert told in caught.value.problems[0]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "lifecycle: {convert: {contradiction: {as: contactd}}}\n",
            "crmbridge.yaml:5:43: lifecycle.convert.contradiction.as: 'contactd' must be a row of the lead's status "
            "table that is open or disqualified (",
        ),
        (
            "lifecycle: {lead: {convert: {contradiction: {as: converted}}}}\n",
            "crmbridge.yaml:5:50: lifecycle.lead.convert.contradiction.as: 'converted' must be a row",
        ),
        (
            "segments: {dach: {lifecycle: {convert: {contradiction: {as: nothing}}}}}\n",
            "segments.dach.lifecycle.convert.contradiction.as: 'nothing' must be a row",
        ),
    ],
)
def test_a_lead_is_read_as_a_row_that_there_is(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        policies(read(tmp_path, text), SHIPPED)
    [problem] = caught.value.problems
    assert told in problem


def test_every_choice_of_a_conversion_is_taken(tmp_path: Path) -> None:
    text = """\
lifecycle:
  convert: {mirror: {when: 'email != null'}, opportunity: never, create_by: {account: us, contact: us, opportunity: us},
            contact_only: {bucket: 0018d00000AbCdE}, bare_qualified: ignore, reactivated: new_lead,
            contradiction: {as: contacted}, both: hold, late_edit: hold, recreate_lead: yes}
  close: {over_disqualified: hold}
"""
    found = policies(read(tmp_path, text), SHIPPED).of("lead", lead())
    us = CreateBy(account="us", contact="us", opportunity="us")
    assert found.convert == Convert(
        mirror=When(when="email != null"),
        opportunity="never",
        create_by=us,
        contact_only=Bucket(bucket="0018d00000AbCdE"),
        bare_qualified="ignore",
        reactivated="new_lead",
        contradiction=ReadAs(row="contacted"),
        both="hold",
        late_edit="hold",
        recreate_lead="yes",
    )
    assert found.close.over_disqualified == "hold"


def test_the_way_of_what_is_out_of_use_may_be_chosen_by_kind_and_by_segment(tmp_path: Path) -> None:
    text = """\
lifecycle: {contact: {move: {inactive: crm}}}
segments: {shop: {entities: [account], lifecycle: {move: {inactive: off}}}}
"""
    found = policies(read(tmp_path, text), SHIPPED)
    assert found.of("contact").move.inactive == "right"
    assert [one.move.inactive for one in found.every("account")] == ["both", "off"]
    [told] = wrong(tmp_path, "segments: {shop: {lifecycle: {move: {inactive: of}}}}\n")
    assert told == (
        "crmbridge.yaml:5:48: segments.shop.lifecycle.move.inactive: must be one of both, off, sf, crm; "
        "did you mean 'off'?"
    )


def test_what_no_row_names_may_be_ignored_by_kind_and_by_segment(tmp_path: Path) -> None:
    text = """\
lifecycle: {lead: {move: {unmapped: ignore}}}
segments: {shop: {entities: [opportunity], lifecycle: {move: {unmapped: ignore}}}}
"""
    found = policies(read(tmp_path, text), SHIPPED)
    assert found.of("lead").move.unmapped == "ignore"
    assert [one.move.unmapped for one in found.every("opportunity")] == ["hold", "ignore"]
    [told] = wrong(tmp_path, "lifecycle: {move: {unmapped: ignored}}\n")
    assert told == ("crmbridge.yaml:5:30: lifecycle.move.unmapped: must be one of hold, ignore; did you mean 'ignore'?")


@pytest.mark.parametrize(
    ("text", "customer", "nobody"),
    [
        (
            "{contact_customer: {bucket: 0018d00000AbCdE}, no_customer: placeholder}",
            Bucket(bucket="0018d00000AbCdE"),
            "placeholder",
        ),
        ("{contact_customer: no_account, no_customer: try}", "no_account", "try"),
        ("{contact_customer: hold, no_customer: hold}", "hold", "hold"),
        ("{contact_customer: person_account}", "person_account", "try"),
    ],
)
def test_who_a_deal_belongs_to_may_be_chosen(tmp_path: Path, text: str, customer: object, nobody: str) -> None:
    found = policies(read(tmp_path, f"lifecycle:\n  close: {text}\n"), SHIPPED).of("opportunity").close
    assert (found.contact_customer, found.no_customer) == (customer, nobody)
    part = f"segments:\n  shop:\n    entities: [opportunity]\n    lifecycle: {{close: {text}}}\n"
    found = policies(read(tmp_path, part), SHIPPED).every("opportunity")[1].close
    assert (found.contact_customer, found.no_customer) == (customer, nobody)


def test_what_becomes_of_a_deleted_records_partner_may_be_chosen(tmp_path: Path) -> None:
    found = policies(
        read(
            tmp_path,
            """\
lifecycle:
  remove: {delete: ask, delete_converted: delete, merge: mirror, undelete: hold}
  lead: {remove: {delete: disqualify}}
  opportunity: {remove: {delete: lose}}
  account: {remove: {delete: deactivate}}
  contact: {remove: {delete: delete}}
""",
        ),
        SHIPPED,
    )
    chosen = [found.of(entity).remove.delete for entity in ("lead", "opportunity", "account", "contact")]
    assert chosen == ["disqualify", "lose", "deactivate", "delete"]
    lead = found.of("lead").remove
    assert (lead.delete_converted, lead.merge, lead.undelete) == ("delete", "mirror", "hold")
    (tmp_path / "wrong").mkdir()
    assert wrong(tmp_path / "wrong", "lifecycle:\n  contact: {remove: {delete: lose}}\n") == [
        "crmbridge.yaml:6:30: lifecycle.contact.remove.delete: lose is for opportunity records"
    ]
