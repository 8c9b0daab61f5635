"""Plans of one pair, whatever the values: both sides end up equal, settled pairs stay settled, and no edit vanishes."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, cast

from hypothesis import assume, given
from hypothesis import strategies as st

from crmbridge.lifecycle.leads import plan_lead
from crmbridge.lifecycle.opportunities import plan_opportunity
from crmbridge.lifecycle.powers import DYNAMICS, SALESFORCE, Powers
from crmbridge.model import (
    SIDES,
    Axes,
    Base,
    Entity,
    FieldRule,
    Fields,
    Life,
    Link,
    LinkMode,
    Money,
    Ref,
    Row,
    RuleName,
    Seen,
    Shared,
    Side,
    State,
    Step,
    Value,
    other,
)
from crmbridge.plan import PairPlan, is_blank, plan_fields, settled_base

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
US: Mapping[Side, str | None] = {"left": "us", "right": "us"}


def near(a: Value, b: Value) -> bool:
    """Equal up to a declared loss: the right side keeps whole units."""
    if isinstance(a, Money) and isinstance(b, Money):
        return a.currency == b.currency and whole(a).amount == whole(b).amount
    return a == b


def whole(value: Value) -> Any:
    if not isinstance(value, Money):
        return value
    return Money(value.amount.quantize(Decimal(1), rounding=ROUND_HALF_UP), value.currency)


def shown(side: Side, name: str, value: Value) -> Value:
    """What a side shows after it was written: the right one keeps no cents."""
    return whole(value) if side == "right" and name == "amount" else value


NAMES = ("name", "phone", "amount", "no_calls")
words = st.sampled_from([None, "", "a", "b", "c"])
amounts = st.sampled_from([None, *(Money(Decimal(n), "USD") for n in ("1", "1.40", "2.60", "3"))])
flags = st.booleans()
RULES: tuple[RuleName, ...] = ("both", "left", "right", "prefer left", "prefer right", "create only")
rules = st.fixed_dictionaries({name: st.sampled_from(RULES) for name in NAMES[:3]})
values = st.fixed_dictionaries({"name": words, "phone": words, "amount": amounts, "no_calls": flags})


def compiled(chosen: Mapping[str, RuleName]) -> list[FieldRule]:
    return [
        FieldRule(name="name", rule=chosen["name"]),
        FieldRule(name="phone", rule=chosen["phone"]),
        FieldRule(name="amount", rule=chosen["amount"], kind="money", same=near),
        FieldRule(name="no_calls", kind="boolean", restrictive=True),
    ]


def on(side: Side, fields: Mapping[str, Value]) -> dict[str, Value]:
    return {name: shown(side, name, value) for name, value in fields.items()}


def pair(left: Fields, right: Fields, newest: Side | None) -> tuple[Seen, Seen]:
    def seen(side: Side, fields: Fields) -> Seen:
        at = NOON + timedelta(minutes=1 if newest == side else 0)
        ref = Ref(side=side, entity="account", id=side)
        row = Row(ref=ref, version="1", created_at=None, modified_at=at, modified_by="person" if newest else "us")
        return Seen(row=row, life=Life(), shared=Shared(fields=fields))

    return seen("left", left), seen("right", right)


def link(left: Fields, right: Fields, mode: LinkMode = "steady", origin: Side | None = None) -> Link:
    return Link(
        id="1",
        entity="account",
        left_id="left",
        right_id="right",
        base=Base(left=left, right=right),
        mode=mode,
        origin=origin,
    )


def plan(chosen: Sequence[FieldRule], known: Link, left: Fields, right: Fields, newest: Side | None) -> PairPlan:
    return plan_fields("account", chosen, known, *pair(left, right, newest), our_users=US)


def carried_out(done: PairPlan, left: Fields, right: Fields) -> tuple[dict[str, Value], dict[str, Value]]:
    now: dict[Side, dict[str, Value]] = {"left": dict(left), "right": dict(right)}
    for update in done.updates:
        now[update.side] |= on(update.side, update.fields)
    return now["left"], now["right"]


def settled(known: Link, done: PairPlan, left: Fields, right: Fields) -> Link:
    base = settled_base(known.base, Shared(fields=left), Shared(fields=right), done.unsettled)
    return replace(known, base=base, mode="steady")


newest_sides = st.sampled_from([None, *SIDES])
modes = st.sampled_from(["steady", "matched", "fresh", "converted"])
a_pair = st.tuples(rules, values, values, values, newest_sides)


@given(a_pair, modes, st.sampled_from(SIDES))
def test_a_settled_pair_plans_nothing(given_pair: Any, mode: LinkMode, origin: Side) -> None:
    """I4, GetPut: what was written and read back is the base, whatever was agreed on before."""
    chosen, base, left, right, newest = given_pair
    left, right = on("left", left), on("right", right)
    agreed = link(on("left", base), on("right", base)) if mode == "steady" else link({}, {}, mode, origin)
    first = plan(compiled(chosen), agreed, left, right, newest)
    left, right = carried_out(first, left, right)
    again = plan(compiled(chosen), settled(agreed, first, left, right), left, right, newest)
    assert again.updates == ()


@given(a_pair)
def test_one_round_makes_both_sides_equal(given_pair: Any) -> None:
    """But for what a rule keeps apart: always one side, or only at creation."""
    chosen, base, left, right, newest = given_pair
    left, right = on("left", left), on("right", right)
    # What differed already when both were settled is a known difference, and stays one.
    known = link(on("left", base), on("right", base))
    done = plan(compiled(chosen), known, left, right, newest)
    now_left, now_right = carried_out(done, left, right)
    for rule in compiled(chosen):
        if rule.rule != "create only":
            assert rule.same(now_left[rule.name], now_right[rule.name]), rule


@given(a_pair, st.sampled_from(NAMES), st.sampled_from(SIDES))
def test_an_edit_of_one_field_changes_no_other(given_pair: Any, name: str, side: Side) -> None:
    """I17: only the field that was edited is written, and only on the other side or, by a rule, back."""
    chosen, base, other_values, _, newest = given_pair
    sides = {"left": on("left", base), "right": on("right", base)}
    known = link(sides["left"], sides["right"])
    sides[side][name] = shown(side, name, other_values[name])
    done = plan(compiled(chosen), known, sides["left"], sides["right"], newest)
    assert {field for update in done.updates for field in update.fields} <= {name}
    assert len(done.updates) <= 1


@given(a_pair)
def test_no_conflict_loses_both_values(given_pair: Any) -> None:
    """Whatever is written was there, on one of the two sides; and one edit of each field survives."""
    chosen, base, left, right, newest = given_pair
    left, right = on("left", left), on("right", right)
    done = plan(compiled(chosen), link(on("left", base), on("right", base)), left, right, newest)
    now_left, now_right = carried_out(done, left, right)
    for rule in compiled(chosen):
        name = rule.name
        if rule.restrictive:
            continue
        assert now_left[name] in (left[name], shown("left", name, right[name]))
        assert now_right[name] in (right[name], shown("right", name, left[name]))
        survives = now_left[name] == left[name] or now_right[name] == right[name]
        assert survives, f"{name}: neither {left[name]} nor {right[name]} is where it was typed"


@given(a_pair)
def test_swapping_the_sides_swaps_the_plan(given_pair: Any) -> None:
    """I15. A tie goes to the configured side, so here somebody is always newer."""
    chosen, base, left, right, newest = given_pair
    assume(newest is not None)
    mirror: dict[RuleName, RuleName] = {
        "left": "right",
        "right": "left",
        "prefer left": "prefer right",
        "prefer right": "prefer left",
    }
    swapped_rules = {name: mirror.get(rule, rule) for name, rule in chosen.items()}
    done = plan(compiled(chosen), link(base, base), left, right, newest)
    back = plan(compiled(swapped_rules), link(base, base), right, left, other(newest))
    assert {(update.side, *sorted(update.fields.items(), key=str)) for update in done.updates} == {
        (other(update.side), *sorted(update.fields.items(), key=str)) for update in back.updates
    }
    assert done.unsettled == back.unsettled
    assert done.conflicts == back.conflicts


@given(values, values, newest_sides)
def test_a_first_coupling_fills_blanks_and_overwrites_nothing(left: Fields, right: Fields, newest: Side | None) -> None:
    both: dict[str, RuleName] = dict.fromkeys(NAMES, "both")
    left, right = on("left", left), on("right", right)
    done = plan(compiled(both), link({}, {}, "matched"), left, right, newest)
    now_left, now_right = carried_out(done, left, right)
    for before, now in ((left, now_left), (right, now_right)):
        for name, value in before.items():
            assert is_blank(value) or now[name] == value or name == "no_calls"
    for update in done.updates:
        for name in update.fields:
            assert name == "no_calls" or is_blank((left if update.side == "left" else right)[name])


# --- life cycles --------------------------------------------------------------------------------------------------

LEADS: tuple[tuple[State, str], ...] = (
    ("open", "new"), ("open", "contacted"),
    ("disqualified", "lost"), ("disqualified", "canceled"), ("converted", "converted"),
)  # fmt: skip
DEALS: tuple[tuple[State, str], ...] = (
    ("open", "qualify"), ("open", "develop"), ("won", "won"), ("lost", "given_up"), ("lost", "out_sold"),
)  # fmt: skip
POWERS: Mapping[Side, Powers] = {"left": SALESFORCE, "right": DYNAMICS}


def standing(side: Side, entity: Entity, at: tuple[State, str]) -> Seen:
    made = {"account_id": "a", "contact_id": "c", "opportunity_id": "o"} if at[0] == "converted" else {}
    return Seen(
        row=Row(ref=Ref(side=side, entity=entity, id=side), version="1", created_at=None, modified_at=None),
        life=Life(state=at[0], status=at[1], **made),
        shared=Shared(fields={"company": "Acme"}, state=at[0], status=at[1]),
    )


def known_at(entity: Entity, at: tuple[State, str], epoch: int = 0) -> Link:
    axes = Axes(state=at[0], status=at[1])
    base = Base(left_axes=axes, right_axes=axes)
    return Link(id="1", entity=entity, left_id="left", right_id="right", base=base, epoch=epoch)


def life(
    entity: Entity, known: Link, at: Mapping[Side, tuple[State, str]], newest: Side, powers: Mapping[Side, Powers]
) -> Any:
    decide = plan_lead if entity == "lead" else plan_opportunity
    left, right = (standing(side, entity, at[side]) for side in SIDES)
    return decide(known, left, right, powers=powers, last_edit=newest)


def legal(step: Step, now: tuple[State, str], powers: Powers) -> tuple[State, str]:
    """What a CRM makes of a step, or an assertion where it would refuse it (lifecycle §2)."""
    states: dict[str, State] = {row: state for state, row in (*LEADS, *DEALS)}
    to = step.status or "qualify"
    match step.kind:
        case "convert" | "adopt":
            return ("converted", "converted")
        case "win" | "lose":
            assert now[0] == "open" or not powers.closes_through_open, f"{step} from {now}"
            assert states[to] == ("won" if step.kind == "win" else "lost")
        case "reopen":
            assert now[0] in ("won", "lost")
            assert states[to] == "open"
        case "stage":
            assert now[0] == states[to] == "open"
        case "disqualify":
            assert now[0] == "open" or not powers.reactivates_leads or now[0] == "disqualified"
            assert states[to] == "disqualified"
        case "reactivate":
            assert now[0] == "disqualified"
        case "status":
            assert now[0] == states[to], f"{step} from {now}"
        case "hold" | "convert_here" | "new_lead":
            raise AssertionError(f"{step.kind} is for what an admin chose, or for columns that this mapping lacks")
    return (states[to], to)


@st.composite
def standings(draw: Any) -> tuple[Entity, Link, dict[Side, tuple[State, str]], Side]:
    entity = cast("Entity", draw(st.sampled_from(["lead", "opportunity"])))
    places = LEADS if entity == "lead" else DEALS
    was, left, right = (draw(st.sampled_from(places)) for _ in range(3))
    assume(was[0] != "converted")
    return entity, known_at(entity, was), {"left": left, "right": right}, draw(st.sampled_from(SIDES))


@given(standings())
def test_every_step_is_legal_and_both_sides_end_in_the_same_place(given_standing: Any) -> None:
    entity, known, at, newest = given_standing
    done = life(entity, known, at, newest, POWERS)
    now = dict(at)
    for step in done.steps:
        now[step.side] = legal(step, now[step.side], POWERS[step.side])
    if not done.holds:
        assert now["left"] == now["right"], [step.case for step in done.steps]
    assert len({step.side for step in done.steps}) <= 1, "both sides are never moved at once"


@given(standings())
def test_swapping_the_sides_swaps_the_steps(given_standing: Any) -> None:
    """I15, between two systems of one kind: between different ones a way may have more steps."""
    entity, known, at, newest = given_standing
    for kind in (SALESFORCE, DYNAMICS):
        powers: Mapping[Side, Powers] = {"left": kind, "right": kind}
        done = life(entity, known, at, newest, powers)
        back = life(entity, known, {"left": at["right"], "right": at["left"]}, other(newest), powers)
        if any(step.kind == "adopt" for step in done.steps):
            continue  # both converted: whose results are called the other's is all the same
        assert [(step.case, step.kind, step.status) for step in done.steps] == [
            (step.case, step.kind, step.status) for step in back.steps
        ]
        assert [step.side for step in done.steps] == [other(step.side) for step in back.steps]
        assert [hold.cause for hold in done.holds] == [hold.cause for hold in back.holds]
