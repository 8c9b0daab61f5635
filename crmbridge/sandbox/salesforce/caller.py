"""Who saves, and what the request's headers ask for (salesforce-api §3.5)."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    user: str
    version: str = "59.0"
    auto_assign: bool = True  # §3.5: the active assignment rule runs unless the header says FALSE
    assignment_rule: str = ""  # or the one whose id the header names
    allow_duplicates: bool = False
    duplicate_details: bool = False
    rules: bool = True  # off: validation and duplicate rules are skipped, as at a conversion without validation
    apart: str = ""  # a row that duplicate rules do not find: the lead under conversion
