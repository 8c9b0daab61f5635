"""One field of a pair, decided: rules, first coupling, conversion, consent, and what stays open."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from crmbridge.model import (
    Axes,
    Base,
    FieldRule,
    Fields,
    Life,
    Link,
    LinkMode,
    Money,
    Ref,
    Row,
    Seen,
    Shared,
    Side,
    Unlinked,
    Value,
)
from crmbridge.plan import ABSENT, Verdict, decide_field, newest, plan_create, plan_fields, settled_base

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
US: Mapping[Side, str | None] = {"left": "us", "right": "us"}


def decide(rule: str = "both", **words: Any) -> Verdict:
    usual: dict[str, Any] = {
        "mode": "steady",
        "origin": None,
        "base_left": "old",
        "base_right": "old",
        "last_edit": None,
        "choice": None,
        "fills_back": True,
    }
    more: dict[str, Any] = {key: words.pop(key) for key in ("kind", "restrictive", "sides", "same") if key in words}
    return decide_field(FieldRule(name="phone", rule=rule, **more), **{**usual, **words})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rule", "left", "right", "last_edit", "write", "value"),
    [
        pytest.param("both", "old", "old", None, None, None, id="nothing changed"),
        pytest.param("both", "new", "old", None, "right", "new", id="left changed"),
        pytest.param("both", "old", "new", None, "left", "new", id="right changed"),
        pytest.param("both", "new", "new", None, None, None, id="both changed alike"),
        pytest.param("both", "l", "r", "right", "left", "r", id="both changed, newest wins"),
        pytest.param("both", "l", "r", None, "right", "l", id="both changed, no evidence: left"),
        pytest.param("both", None, "old", None, "right", None, id="emptied"),
        pytest.param("left", "old", "new", None, "right", "old", id="always left, right was edited"),
        pytest.param("right", "new", "old", "left", "left", "old", id="always right"),
        pytest.param("prefer left", "l", "r", "right", "right", "l", id="prefer left"),
        pytest.param("prefer left", None, "r", "right", "left", "r", id="prefer left, but it is blank"),
        pytest.param("prefer right", "l", None, "right", "right", "l", id="prefer right, but it is blank"),
        pytest.param("create only", "new", "old", None, None, None, id="create only"),
        pytest.param("ask", "new", "old", None, None, None, id="ask"),
    ],
)
def test_three_ways(
    rule: str, left: Value, right: Value, last_edit: Side | None, write: Side | None, value: Value
) -> None:
    verdict = decide(rule, left=left, right=right, last_edit=last_edit)
    assert (verdict.write, verdict.value) == (write, value)
    assert (verdict.hold is not None) == (rule == "ask")
    assert verdict.settled == (rule != "ask")


@pytest.mark.parametrize(
    ("rule", "left", "right", "choice", "write", "held"),
    [
        pytest.param("both", None, "r", None, "left", False, id="blank is filled"),
        pytest.param("both", "l", "", None, "right", False, id="empty text is blank"),
        pytest.param("left", None, "r", None, None, False, id="always left: a blank there stays"),
        pytest.param("both", "l", "r", None, None, True, id="a conflict is counted, not written"),
        pytest.param("both", "l", "r", "right", "left", False, id="chosen for the whole field"),
        pytest.param("create only", "l", "r", None, None, False, id="create only"),
    ],
)
def test_first_coupling(
    rule: str, left: Value, right: Value, choice: Side | None, write: Side | None, held: bool
) -> None:
    verdict = decide(rule, mode="matched", base_left=ABSENT, base_right=ABSENT, left=left, right=right, choice=choice)
    assert (verdict.write, verdict.hold is not None) == (write, held)


def test_a_known_difference_stays_shown_until_somebody_chooses() -> None:
    known = {"base_left": "l", "base_right": "r", "left": "l", "right": "r"}
    assert decide(**known).hold is not None
    assert decide(**known, choice="left").write == "right"
    assert decide(base_left=None, base_right="r", left=None, right="r").hold is None  # filled in there, and settled so


@pytest.mark.parametrize("edited", ["left", "right"])
def test_an_edit_decides_a_known_difference_unless_the_other_value_is_newer(edited: Side) -> None:
    """Else it was typed before, and shown after the two had been compared: it answers no question."""
    there: Side = "right" if edited == "left" else "left"
    known: dict[str, Any] = {"base_left": "l", "base_right": "r", "left": "l", "right": "r"} | {edited: "new"}
    for last_edit in (edited, None):
        assert (decide(**known, last_edit=last_edit).write, decide(**known, last_edit=last_edit).hold) == (there, None)
    late = decide(**known, last_edit=there)
    assert (late.write, late.settled, late.hold is not None) == (None, True, True)
    assert decide(**known, last_edit=there, choice="left").write == "right"
    agreed = known | {"base_left": "b", "base_right": "b", there: "b"}
    assert decide(**agreed, last_edit=there).write == there


@pytest.mark.parametrize(
    ("origin", "left", "right", "fills_back", "write"),
    [
        pytest.param("left", "l", "r", True, "right", id="the converted side wins"),
        pytest.param("right", "l", "r", True, "left", id="from the right"),
        pytest.param("left", None, "r", True, "left", id="a blank is filled in from the conversion"),
        pytest.param("left", None, "r", False, None, id="not for an opportunity's own fill"),
    ],
)
def test_after_a_conversion(origin: Side, left: Value, right: Value, fills_back: bool, write: Side | None) -> None:
    verdict = decide(
        mode="converted",
        origin=origin,
        base_left=ABSENT,
        base_right=ABSENT,
        left=left,
        right=right,
        fills_back=fills_back,
    )
    assert verdict.write == write


@pytest.mark.parametrize(
    ("left", "right", "write"),
    [
        pytest.param(True, False, "right", id="A3 left refuses"),
        pytest.param(False, True, "left", id="A3 right refuses"),
        pytest.param(None, True, "left", id="A3 blank there"),
        pytest.param(None, False, None, id="A3 not asked is not refused"),
        pytest.param(True, True, None, id="A3 both"),
    ],
)
@pytest.mark.parametrize("mode", ["steady", "matched", "converted"])
def test_a3_the_more_restrictive_wins(left: Value, right: Value, write: Side | None, mode: LinkMode) -> None:
    verdict = decide(
        "prefer left", restrictive=True, mode=mode, origin="left", left=left, right=right, last_edit="left"
    )
    assert verdict.write == write
    assert verdict.value is (True if write else None)


def test_what_cannot_be_read_is_not_written_and_stays_open() -> None:
    verdict = decide(left=ABSENT, right="new")
    assert (verdict.write, verdict.settled) == (None, False)


def test_one_side_only_is_never_written_across() -> None:
    assert decide(sides=frozenset({"left"}), left="new", right=ABSENT).write is None


def test_newest_needs_evidence() -> None:
    def row(side: Side, seconds: float | None, by: str = "person") -> Row:
        at = None if seconds is None else NOON + timedelta(seconds=seconds)
        ref = Ref(side=side, entity="lead", id="1")
        return Row(ref=ref, version="1", created_at=None, modified_at=at, modified_by=by)

    assert newest(row("left", 10), row("right", 0), US) == "left"
    assert newest(row("left", 0), row("right", 10), US) == "right"
    assert newest(row("left", 1), row("right", 0), US) is None  # the same moment
    assert newest(row("left", 99, by="us"), row("right", 0), US) == "right"  # our own write is no evidence
    assert newest(row("left", 99, by="us"), row("right", 0, by="us"), US) is None
    assert newest(row("left", None), row("right", 0), US) == "right"


# --- a pair, a create, a base -------------------------------------------------------------------------------------


def seen(side: Side, fields: Fields, **life: Any) -> Seen:
    ref = Ref(side=side, entity="opportunity", id=f"{side}-1")
    return Seen(
        row=Row(ref=ref, version="1", created_at=None, modified_at=NOON, modified_by="person"),
        life=Life(**life),
        shared=Shared(fields=fields, state="open"),
    )


def steady(left: Fields, right: Fields) -> Link:
    return Link(id="1", entity="opportunity", left_id="left-1", right_id="right-1", base=Base(left=left, right=right))


AMOUNT = FieldRule(name="amount", kind="money")
ACCOUNT = FieldRule(name="account", kind="link", link="account")


def test_o17_amount_and_currency_go_together() -> None:
    old, new = Money(Decimal(10), "USD"), Money(Decimal(10), "EUR")
    link = steady({"amount": old}, {"amount": old})
    plan = plan_fields(
        "opportunity", [AMOUNT], link, seen("left", {"amount": new}), seen("right", {"amount": old}), our_users=US
    )
    assert [(update.side, update.fields) for update in plan.updates] == [("right", {"amount": new})]


def test_o5_a_calculated_amount_is_not_written() -> None:
    old, new = Money(Decimal(10), "USD"), Money(Decimal(20), "USD")
    link = steady({"amount": old}, {"amount": old})
    right = seen("right", {"amount": old}, amount_calculated=True)
    plan = plan_fields("opportunity", [AMOUNT], link, seen("left", {"amount": new}), right, our_users=US)
    assert (plan.updates, [report.cause for report in plan.reports]) == ((), ["O5"])
    assert plan.unsettled == {"amount"}
    back = plan_fields(
        "opportunity",
        [AMOUNT],
        link,
        seen("left", {"amount": old}),
        seen("right", {"amount": new}, amount_calculated=True),
        our_users=US,
    )
    assert [(update.side, update.fields) for update in back.updates] == [("left", {"amount": new})]


def test_a_step_carries_its_own_fields() -> None:
    link = steady({"amount": None}, {"amount": None})
    left = seen("left", {"amount": Money(Decimal(1), "USD")})
    carried: Mapping[Side, frozenset[str]] = {"right": frozenset({"amount"})}
    plan = plan_fields("opportunity", [AMOUNT], link, left, seen("right", {}), our_users=US, with_step=carried)
    assert plan.updates == ()


def test_a_new_parent_without_partner_is_waited_for() -> None:
    link = steady({"account": "A"}, {"account": "A"})
    left = seen("left", {"account": Unlinked("account", "new")})
    plan = plan_fields("opportunity", [ACCOUNT], link, left, seen("right", {"account": "A"}), our_users=US)
    assert plan.updates == ()
    assert plan.unsettled == {"account"}
    assert [wait.ref for wait in plan.waits] == [Ref(side="left", entity="account", id="new")]


@pytest.mark.parametrize("there", [None, Unlinked("account", "gone there too")], ids=["emptied", "ended on both"])
def test_a5_what_pointed_at_an_ended_pair_is_left_as_it_is(there: Value) -> None:
    link = steady({"account": "A"}, {"account": "A"})
    left = seen("left", {"account": Unlinked("account", "gone")})
    plan = plan_fields(
        "opportunity",
        [ACCOUNT],
        link,
        left,
        seen("right", {"account": there}),
        our_users=US,
        ended=lambda ref: ref.id.startswith("gone"),
    )
    assert (plan.updates, plan.waits, plan.unsettled) == ((), (), {"account"})


def test_a_create_waits_for_parents_that_will_come_and_leaves_out_the_others() -> None:
    source = seen("left", {"name": "Deal", "account": Unlinked("account", "a"), "city": ""})
    rules = [FieldRule(name="name"), ACCOUNT, FieldRule(name="city"), FieldRule(name="x", sides=frozenset({"left"}))]
    waiting = plan_create(rules, source, reason="new", will_link=lambda ref: True)
    assert (waiting.create, [wait.waits_for for wait in waiting.waits]) == (None, ["its account"])
    alone = plan_create(rules, source, reason="new", will_link=lambda ref: False)
    assert alone.create is not None
    assert (alone.create.side, alone.create.fields, alone.left_out) == ("right", {"name": "Deal"}, {"account"})


def test_the_base_keeps_what_is_open() -> None:
    old = Base(left={"a": 1, "b": 1}, right={"a": 1, "b": 1}, left_axes=Axes(state="open"))
    left = Shared(fields={"a": 2, "b": 2, "c": Unlinked("account", "x")}, state="won")
    right = Shared(fields={"a": 3, "b": 3}, state="won")
    base = settled_base(old, left, right, frozenset({"b"}), axes_settled=False)
    assert (base.left, base.right) == ({"a": 2, "b": 1}, {"a": 3, "b": 1})
    assert base.left_axes == old.left_axes
    assert settled_base(old, left, right, frozenset()).right_axes == Axes(state="won")


# --- a pair whose partner was just made by us -----------------------------------------------------------------------


def fresh(base: Value | None, *, left: Value, right: Value) -> Verdict:
    """Made on the right from the left; `base` None: the run died before it wrote down what the two look like."""
    views = {} if base is None else {"base_left": base, "base_right": base}
    known = {"base_left": ABSENT, "base_right": ABSENT} | views
    return decide_field(
        FieldRule(name="title"),
        mode="fresh",
        origin="left",
        left=left,
        right=right,
        last_edit=None,
        choice=None,
        fills_back=False,
        **known,
    )


def test_an_edit_made_before_a_fresh_pair_is_settled_is_not_taken_for_agreed_on() -> None:
    verdict = fresh("Buyer", left="Head of buying", right="Buyer")
    assert (verdict.write, verdict.value) == ("right", "Head of buying")


def test_a_fresh_pair_found_after_a_crash_takes_what_the_record_it_was_made_from_says_now() -> None:
    verdict = fresh(None, left="Head of buying", right=None)
    assert (verdict.write, verdict.value) == ("right", "Head of buying")
    assert fresh(None, left=None, right="Warm").write is None, "what the target filled in stays there"


def converted(made: Value | None, *, left: Value, right: Value) -> Verdict:
    """A conversion on the left was mirrored on the right, and made this there; `made` None: nobody knows what."""
    return decide_field(
        FieldRule(name="description"),
        mode="converted",
        origin="left",
        base_left=ABSENT,
        base_right=ABSENT if made is None else made,
        left=left,
        right=right,
        last_edit="right",
        choice=None,
        fills_back=False,
    )


def test_what_a_conversion_filled_in_stays_there_but_an_edit_of_it_is_carried() -> None:
    assert converted("from the lead", left=None, right="from the lead").write is None
    verdict = converted("from the lead", left=None, right="typed since")
    assert (verdict.write, verdict.value) == ("left", "typed since")
    verdict = converted("from the lead", left="a plan", right="typed since")
    assert (verdict.write, verdict.value) == ("left", "typed since")
    assert converted(None, left="a plan", right="from the lead").write == "right"
