"""Creates and edits: which row of the tables it is."""

from collections.abc import Collection

from crmbridge.lifecycle.plan import CLOSE_FIELDS
from crmbridge.model import INACTIVE, Entity, Seen


def create_case(source: Seen) -> str:
    """The row that a new record falls under; whether it crosses at all is the scope's affair (A1)."""
    fields = source.shared.fields
    match source.row.ref.entity:
        case "lead":
            return "L1"
        case "opportunity" if source.life.customer_is_contact:
            return "O14"  # the account is the contact's
        case "opportunity" if fields.get("account") is None and fields.get("contact") is None:
            return "O15"  # it is created without a customer
        case "opportunity":
            return "O1"
        case "contact" if fields.get("account") is None:
            return "A9"
        case _:
            return "A1"


def edit_case(entity: Entity, names: Collection[str], *, closed: bool, currency: bool = False) -> str:
    """The row that an update falls under."""
    if set(names) == {"owner"} and entity in {"lead", "opportunity"}:
        return "L7" if entity == "lead" else "O12"
    if entity == "lead":
        return "L2"
    if entity in {"account", "contact"}:
        if INACTIVE in names:
            return "A4"
        return "A10" if entity == "contact" and "account" in names else "A2"
    if closed:  # closed records are edited as they are, never opened for it
        return "O10" if not set(names).isdisjoint(CLOSE_FIELDS) else "O11"
    if currency:
        return "O17"
    return "O13" if "account" in names else "O16" if "contact" in names else "O5"
