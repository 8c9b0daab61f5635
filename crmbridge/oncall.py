"""Which page of the on-call handbook explains a cause or a code. `docs/howto/on-call/` has a section for each; a test
holds the two together."""

from collections.abc import Mapping
from typing import Final

FOLDER: Final = "docs/howto/on-call"
CRM_CODE: Final = "crm-code"  # whatever a CRM says in its own words

# page -> section -> causes and codes
PAGES: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "records": {
        "same-record": ("ambiguous_match", "already_linked", "no_partner_found", "key_taken"),
        "unsure": ("no_natural_key", "unsure_create"),
        "missed": ("missed_by_cursor",),
        "not-shown": ("not_shown",),
        "never-agreed": ("first_run_conflict", "state_differs", "ask"),
        "not-in-the-mapping": ("unmapped_status", "unmapped_reason", "unmapped_value", "record_type"),
        "does-not-fit": ("required_blank", "too_long", "invalid_email", "not_whole", "not_money", "not_updateable"),
        "expression": ("filter_error", "compute_error", "choice_error"),
        "currency": ("currency_differs", "unknown_currency"),
        "gate": ("gate",),
        "schema": ("field_type", "nested_column", "schema_drift"),
        "alternating": ("ping_pong",),
        "people": ("no_such_user", "owner_not_user"),
        "waits": ("waiting", "claimed", "unlinked", "left_out"),
        "circle": ("A2",),
        "paused": ("paused",),
        "not-master": ("not_master",),
        "closed-deal": ("O10", "O11"),
        "stops-the-worker": ("stopped_worker",),
        "refused": ("NOT_POSSIBLE", "MALFORMED_ID", "INVALID_STATUS", "bad_id", "no_id"),
        "moved": ("PRECONDITION_FAILED", "0x80060882", "0x80060892", "0x80040237"),
        "gone": ("0x80040217", "NOT_FOUND", "ENTITY_IS_DELETED"),
        "stage": ("0x80048408", "0x80060452", "0x80092003", "0x80100002"),
        CRM_CODE: (),
    },
    "conversions": {
        "results-do-not-fit": ("C3", "C9", "C10"),
        "nothing-to-convert-into": ("C5", "C6"),
        "not-carried-out": ("before_mirror_since", "not_mirrored", "conversion_exists"),
        "opened-again": ("C11", "C13"),
        "partner-gone": ("C7", "C8"),
        "label-without-flag": ("L6", "O21"),
        "late-edit": ("L12",),
        "amount-calculated": ("O5",),
        "customer-missing": ("O14", "O15"),
        "person-accounts": ("person_account",),
        "disqualified-with-a-deal": ("L4",),
        "closed-differently": ("O20",),
        "deleted": ("L8", "L14", "O18", "A5", "A6"),
        "restored": ("L9", "O19", "A7"),
        "merged": ("L10", "L15", "A8"),
    },
    "outside": {
        "does-not-answer": ("unreachable", "tls", "too_large", "unreadable", "cut_off", "401", "login_down"),
        "lost-answer": ("lost_answer",),
        "login": ("login", "INVALID_SESSION_ID", "token", "tenant", "other_host"),
        "limits": ("budget", "blocked", "pace"),
        "breaker": ("breaker",),
        "wrong-org": ("wrong_org", "foreign_link"),
        "other-writer": ("other_writer",),
        "description": ("currency", "no_delta_link", "unlike_metadata", "cursor"),
        "store": ("store", "listen"),
        "another-run": ("lease_taken", "lease_lost"),
        "workers": ("broker", "broker_taken", "worker", "otel"),
    },
    "files": {
        "settings": ("no_settings", "config", "profile", "system", "url", "ca_file", "test_pace"),
        "login-settings": ("auth", "private_key", "default_owner", "converted_status"),
        "mapping": ("mapping", "mapping_init", "expr", "converter"),
        "tools": ("capture", "shape", "erase", "relink", "report"),
    },
}


def page_of(cause: str) -> str:
    """`docs/howto/on-call/records.md#gate`."""
    place = _PLACES.get(cause, ("records", CRM_CODE))
    return f"{FOLDER}/{place[0]}.md#{place[1]}"


def is_known(cause: str) -> bool:
    return cause in _PLACES


_PLACES: Final = {
    cause: (page, section)
    for page, sections in PAGES.items()
    for section, causes in sections.items()
    for cause in causes
}
