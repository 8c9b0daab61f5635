# ruff: noqa: E501 - a table reads best unbroken
"""The problems that the check can tell, by code: the cause, an example, what to do. One row is one cause.

docs/reference/mapping-problems.md is written from this table (`python -m tests.support.mapping_problems`), and each
code has a file under tests/mapping/broken/ that shows it with its place.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """All three are Markdown, one line each."""

    cause: str
    example: str
    fix: str


def _code(cause: str, example: str, fix: str) -> Code:
    return Code(cause=cause, example=example, fix=fix)


# --- the file and its YAML ----------------------------------------------------------------------------------------

_FILE: Final[Mapping[str, Code]] = {
    "no-mapping": _code("the folder holds no mapping", "an empty `mappings/`", "`crmbridge init` puts the shipped ones there"),
    "file-unreadable": _code("the file cannot be opened", "a file of another user", "correct its name or its rights"),
    "file-too-large": _code("more than 512 kB", "a data export saved as `lead.yaml`", "put the mapping back; it is a few kB"),
    "file-not-utf8": _code("the bytes are no UTF-8; the place is where that begins", "a file saved as Latin-1, or as UTF-16", "save it as UTF-8"),
    "file-empty": _code("nothing but blanks and comments", "all lines commented out", "write one entity's mapping, or remove the file"),
    "bracket-open": _code("a bracket is not closed, or a comma is missing", "`{salesforce: Email` without `}`", "close it; the place is where it was opened"),
    "quote-open": _code("a quotation mark is not closed", '`create: "{company}`', "close it; the place is where it was opened"),
    "bracket-stray": _code("a closing bracket that nothing opens", "`{salesforce: Email}}`", "take it away, or put quotes around the text"),
    "comma-stray": _code("a comma without a value before or after it", "`[email,, phone]`", "take it away, or write the value"),
    "colon-stray": _code("a colon inside a text", "`label: Stage: one`", "put quotes around the text"),
    "colon-missing": _code("a key without its colon", "`fields` alone in a line", "write the colon"),
    "text-stray": _code("something stands after a quoted text", "`name: 'Acme' Ltd`", "put quotes around all of it"),
    "indent-wrong": _code("a line is not indented as those that it belongs to", "three blanks below two", "indent them alike"),
    "character-reserved": _code("a tab, `@`, `%`, `&`, `*` or a backquote at the beginning", "a tab before `email:`, `dynamics: & Sons`", "blanks for tabs; quotes around such a text"),
    "character-lookalike": _code("a character that only looks like one of YAML's, in a line that cannot be read (a warning)", "a no-break space, a curly quotation mark, a full-width colon", "type it anew"),
    "character-control": _code("a character that no text has", "a NUL from a copied terminal", "take it out"),
    "not-yaml": _code("YAML cannot be read from here on", "`%TAG` in the first line", "mend the line named, often the one above it"),
    "second-document": _code("`---` begins a second document", "two entities in one file", "one file for one entity"),
    "too-deep": _code("more levels than any mapping has", "`[[[[[[[[[[[[[[1]]]]]]]]]]]]]]`", "take the nesting out"),
    "alias-used": _code("`*name` stands for another part", "`email: *phone`", "write the value out, or put quotes around a text that begins with `*`"),
    "anchor-used": _code("`&name` names a part", "`email: &mail {…}`", "take `&name` away, or put quotes around a text that begins with `&`"),
    "tag-used": _code("`!name` gives a type", "`required: !!bool yes`", "write the plain value"),
    "key-not-text": _code("a list or map stands where a key must", "`? [a, b] : c`", "use a plain name as key"),
    "key-decorated": _code("a key has an anchor or a tag", "`&x email: …`", "take it away"),
    "duplicate-key": _code("the same key twice in one map", "two lines `email:`", "keep one of the two"),
}  # fmt: skip

# --- the shape ----------------------------------------------------------------------------------------------------

_SHAPE: Final[Mapping[str, Code]] = {
    "unknown-key": _code("no such key here", "`dynamic: lastname`", "correct the spelling, or take the key out"),
    "key-missing": _code("a key that must be there is not", "no `entity:`", "add it"),
    "name-malformed": _code("a name of yours has other letters", "`E-Mail: …`", "lower-case letters, digits and `_`"),
    "wrong-kind": _code("text where a map belongs, and the like", "`dynamics: lead`", "write the kind of value that is named"),
    "value-missing": _code("nothing stands after the colon", "`convert:`", "write a value, or take the key out"),
    "unknown-word": _code("not one of the words that may stand here", "`convert: mony`", "take one of those named"),
    "list-empty": _code("a list without an entry", "`match: [[]]`", "give it an entry, or take the key out"),
    "list-flat": _code("names where lists of names belong", "`match: [email, last_name]`", "`[[email, last_name]]` if all must agree, `[[email], [last_name]]` if one is enough"),
    "example-unclear": _code("an example that says too much or too little", "two records under `given:`, nothing under `expect:`", "one record that is given, and what must come of it"),
    "text-empty": _code("an empty text", '`salesforce: ""`', "write a value, or take the key out"),
    "entity-twice": _code("two files are about one entity", "`lead.yaml` and `leads2.yaml`", "put both into one file"),
}  # fmt: skip

# --- the meaning --------------------------------------------------------------------------------------------------

_FIELDS: Final[Mapping[str, Code]] = {
    "name-taken": _code("the name means something else already", "a field named `status`", "give the field another name"),
    "field-without-column": _code("a field that is nowhere", "`email: {convert: email}`", "name its column on a side"),
    "column-owned": _code("a column that crmbridge reads itself", "`{salesforce: IsConverted}`", "take the field out; the message says where the column belongs"),
    "column-twice": _code("two fields write one column", "`Email` in two lines", "keep one of the two"),
    "variant-misplaced": _code("`won` or `lost` outside an opportunity", "`{column: revenue, won: x}` on a lead", "name one column"),
    "table-unknown": _code("no such table under `values:`", "`values: ratings`", "correct the name, or add the table"),
    "values-and-convert": _code("a choice that is converted as well", "`values: rating, convert: text`", "leave `convert` out"),
    "choice-without-values": _code("a choice without a table", "`convert: choice`", "name a table by `values:`"),
    "link-and-convert": _code("a link that is converted as well", "`link: account, convert: text`", "leave `convert` and `values` out"),
    "link-without-mapping": _code("the kind of record that it points at is not mapped", "`link: account` without `account.yaml`", "add that file"),
    "restrictive-not-boolean": _code("`restrictive` on what is not yes or no", "`convert: email, restrictive: true`", "add `convert: boolean`, or take it out"),
    "zone-not-date": _code("`zone` on what is no date", "`convert: text, zone: Europe/Paris`", "take it out, or convert to a date"),
    "zone-unknown": _code("no such time zone", "`zone: Mars`", "a name such as `Europe/Berlin`"),
    "filler-without-column": _code("a filler for a side that the field does not have", "`filler: {dynamics: x}` without `dynamics`", "name the column there, or take it out"),
    "filler-not-date": _code("days after the creation in a field that is no date", "`filler: {salesforce: created + 3 days}`", "add `convert: date`, or write a text"),
    "filler-malformed": _code("a filler of a date that is no number of days", "`convert: date, filler: {salesforce: created + 90}`", "`created + 90 days`"),
    "filler-not-email": _code("a filler that Salesforce does not take in an e-mail field", "`convert: email, filler: {salesforce: none}`", "an address, or take the filler out"),
    "filler-not-text": _code("a text that fills a number or a choice", "`convert: money, filler: {dynamics: none}`", "take the filler out"),
    "create-without-column": _code("a creation text for a side that the field does not have", "`create: {dynamics: x}` without `dynamics`", "name the column there, or take it out"),
    "slot-unknown": _code("`{field}` is no field of this mapping", '`create: "{lastname}"`', "write one of its names"),
}  # fmt: skip

_TABLES: Final[Mapping[str, Code]] = {
    "rule-against-restrictive": _code("a rule beside `restrictive`, by which the more restrictive side wins (a warning)", "`restrictive: true, rule: salesforce`", "take one of the two out"),
    "rule-needless": _code("a rule for a field that is on one side only (a warning)", "`{salesforce: Fax, rule: ask}`", "take it out, or name the other column"),
    "required-one-sided": _code("a needed value that no record of the other side has", "`{dynamics: subject, required: true}`", "take it out, name the other column, or add `create:`"),
    "lossy-without-column": _code("a loss is declared for a side that the field does not have", "`{salesforce: A, lossy: dynamics}`", "take it out"),
    "match-unknown-field": _code("`match` names what is no field", "`match: [[emial]]`", "write one of the fields' names"),
    "match-one-sided": _code("a key of `match` has a column on one side only", "`match: [[topic]]`", "take it out of the key, or give the field its other column"),
    "table-unused": _code("no field uses this table (a warning)", "`values: {old: …}`", "name it in a field, or take it out"),
    "table-empty": _code("a table without rows", "`rating: {unmapped: hold}`", "give it a row"),
    "value-one-sided": _code("a row with a value on one side only", "`hot: {salesforce: Hot}`", "give it the other value, or let the table say `unmapped: ignore`"),
    "value-twice": _code("a value that an earlier row reads already", "`dynamics: [2, 1]` after a row with `1`", "name it once"),
    "loss-undeclared": _code("two rows are written as one value, so that side cannot tell them apart", "`warm` and `hot` both `dynamics: 1`", "another value, or declare the loss: `lossy: dynamics`"),
    "value-repeated": _code("a value twice in one row (a warning)", "`dynamics: [10, 10]`", "name it once"),
    "row-unreachable": _code("a row that nothing is ever read as (a warning)", "a row whose values stand in earlier rows, on both sides", "a value of its own, or take it out"),
    "status-ping-pong": _code("a row that comes back from the other side as another one", "a word that means another row in one process", "a value of its own on both sides, for each record type and process"),
    "state-without-row": _code("no row of a state that records get into (a warning)", "no row with `state: lost`", "add one"),
    "axis-misplaced": _code("`status:`, `stage:` or what belongs to them in the wrong entity", "`stage:` in `lead.yaml`, `on_hold:` in `account.yaml`", "leads have `status:`, opportunities `stage:` and `on_hold:`, accounts and contacts `inactive:`"),
    "axis-missing": _code("no `status:` in a lead, no `stage:` in an opportunity", "`lead.yaml` without `status:`", "add it"),
    "no-open-row": _code("no row of state open", "only closed rows", "add a row with `state: open`; a new record needs one"),
    "status-one-sided": _code("a row without a value on one side: nothing can be written there", "`new: {state: open, salesforce: New}`", "give it one"),
    "states-share-value": _code("one value stands for two states, and that CRM has no flag to tell them apart", "`Closed` as `open` and as `disqualified` on a Salesforce lead", "give one of the two another value"),
}  # fmt: skip

# --- beside the status and stage tables ---------------------------------------------------------------------------

_AXIS: Final[Mapping[str, Code]] = {
    "kind-misplaced": _code("words by process where no process decides", "`dynamics: {any: New, Sales Process: Fresh}` in `lead.yaml`", "one value"),
    "kind-without-any": _code("a row with words for some record types or processes only (a warning)", "`salesforce: {Renewal: Review Due}`", "add `any: …`, if there is one for the others"),
    "reason-unused": _code("a reason's column that no row makes use of", "`reason: {salesforce: Loss_Reason__c}` alone", "`reason:` in the rows, or take it out"),
    "reason-without-column": _code("reasons in a row, and no column for them", "`reason: {salesforce: Price}` in a row alone", "`reason: {salesforce: COLUMN}` at the top level"),
    "on-hold-known": _code("`on_hold:` or `inactive:` for a side that has a state of its own for it", "`on_hold: {dynamics: new_onhold}`", "take it out"),
    "on-hold-stage-in-row": _code("the stage for on hold is a row's value as well", "`on_hold: {salesforce: {stage: On Hold}}` and a row with `On Hold`", "take it out of the row"),
    "on-hold-one-sided": _code("the other side cannot say on hold, or out of use (a warning)", "two Salesforce orgs, `on_hold:` for one", "name a column or a stage for the other, too"),
    "inactive-ambiguous": _code("one word means in use and out of use", "`{column: Rating, active: [Hot, Cold], inactive: Cold}`", "take it out of one of the two"),
    "inactive-not-writable": _code("our user may not edit the column for out of use", "a formula", "a column that our user may edit"),
    "inactive-misfit": _code("the column for out of use is a yes/no field and words are given, or the other way round", "`inactive: {salesforce: Rating}`", "`{column: Rating, active: …, inactive: …}`; a yes/no field alone"),
    "gate-unknown": _code("a gate for a row that is not there", "`gates: {proposal: …}`", "the name of a row, or `conversion`"),
    "gate-at-start": _code("a gate for the row that records start at", "`gates: {new: …}`", "`required: true` of the fields"),
    "gate-field-unknown": _code("a gate needs what is no field of this mapping", "`needs: [amout]`", "one of its fields"),
    "record-type-misplaced": _code("a record type where there is none, or as a field that crosses", "`record_type: {dynamics: X}`", "take it out"),
    "record-type-empty": _code("`record_type:` without a name", "`record_type: {salesforce: {}}`", "add `when:` or `else:`"),
    "reason-not-writable": _code("our user may not edit the reason's column", "a formula", "a column that our user may edit"),
    "reason-unknown": _code("the reason's column has no such value", "`reason: {salesforce: Prise}`", "a label or value that it has"),
    "reason-unmapped": _code("a reason that is in no row (a warning)", "`Weather` in no row", "add it to the reasons of a row"),
    "on-hold-not-boolean": _code("the column for on hold is no yes/no field", "`on_hold: {salesforce: Hold_Reason__c}`", "a yes/no field, or `{stage: …}`"),
    "on-hold-stage-unknown": _code("the CRM has no such open stage", "`{stage: Onhold}`", "a stage that it has"),
    "process-unknown": _code("no such business process", "`dynamics: {any: Qualify, Renewals: Assess}`", "the process's name"),
    "record-type-unknown": _code("no such record type", "`salesforce: {any: New, Renwal: Review}`", "its developer name, not its label or id"),
    "record-type-unavailable": _code("the record type is switched off, or not for our user", "a retired record type", "another one, or have that changed"),
    "record-type-lacks-status": _code("a status would be written that the record type does not offer (a warning)", "`Proposal` for a renewal", "a word for that record type"),
    "converted-status-none": _code("a record type whose leads cannot be converted (a warning)", "no converted status among its choices", "have one added there"),
    "converted-status-not-offered": _code("the converted status is not one of the record type's (a warning)", "`converted:` with another type's status", "give the row a word for that record type"),
    "converted-status-open": _code("several converted statuses, and none is chosen (a warning)", "two flagged statuses", "say in the row which one"),
    "won-not-flagged": _code("a stage is called won, and its flag says otherwise (a warning)", "`Closed Won EMEA` flagged lost", "have the flag or the name corrected there"),
    "lost-flagged-won": _code("a stage is called lost, and its flag says won (a warning)", "`Lost` flagged won", "have the flag or the name corrected there"),
}  # fmt: skip

# --- what the CRMs really have ------------------------------------------------------------------------------------

_LIVE: Final[Mapping[str, Code]] = {
    "column-unknown": _code("the CRM has no such field, or our user may not see it", "`salesforce: EMail`", "its API name; else give our user the right to see it"),
    "column-read-only": _code("our user may not write it, or nobody may (a formula)", "`{salesforce: Score__c, dynamics: new_score}` with a formula", "`rule:` with that connection's name, so that it is only read"),
    "column-create-only": _code("our user may write it for a new record only (a warning)", "a master-detail lookup", "`rule: create only`"),
    "column-several-choices": _code("a field that holds several choices", "a multi-select picklist", "take the field out"),
    "column-unfed": _code("needed for a new record, and no field feeds it (a warning)", "`Region__c` required", "map it, or give it a `create:` text"),
    "object-not-asked": _code("an object or table that crmbridge does not move (a warning)", "`salesforce: {object: Enquiry__c}`", "the standard one that the message names; no other is ever asked"),
    "create-too-long": _code("the text for new records does not fit into the field (a warning)", "a `create:` of 90 letters for 40", "shorten it"),
    "key-field-mapped": _code("a field writes the column where crmbridge keeps the partner's id", "`salesforce: CrmBridge_Id__c`", "take the field out"),
    "filler-too-long": _code("the filler does not fit into the field", 'a filler of 90 letters for 80', "shorten it"),
    "link-target": _code("the lookup points at other records", "`{dynamics: parentcontactid, link: account}`", "name the lookup that points there"),
    "type-misfit": _code("the field holds another kind of value", "`revenue` as text", "the `convert:` that the message names"),
    "decimals-undeclared": _code("one side keeps fewer decimals", "`AnnualRevenue` keeps none", "declare the loss: `lossy:` with that connection's name"),
    "time-undeclared": _code("a day on one side, an instant on the other", "a date and a date-time", "declare the loss: `lossy:` with that connection's name"),
    "zone-missing": _code("a day kept as an instant, and no zone says where it is day (a warning)", "`convert: date` on a date-time", "`zone: Europe/Berlin`"),
    "text-longer": _code("one side takes shorter texts: longer ones are held, never cut (a note)", "a phone of 40 and one of 20", "have the column lengthened there"),
    "default-filled": _code("the CRM fills a blank choice of a new record, and that flows back (a note)", "a picklist with a default value", "take the default away there, if it is not meant"),
    "value-unknown": _code("the field has no such choice", "`salesforce: Hott`", "a label or value that it has"),
    "value-ambiguous": _code("one label, several choices", "two options called `Other`", "give the value (the number) itself"),
    "value-inactive": _code("the choice is switched off there (a warning)", "a retired picklist value first in its row", "put another first, or have it switched on"),
    "value-unmapped": _code("a choice that is in no row: records that have it are held (a warning)", "`Cold` in no row", "add it to a row"),
    "status-unknown": _code("the CRM has no such status or stage", "`dynamics: Contactd`", "a label or value that it has"),
    "status-against-flag": _code("the row's state is not what the CRM's own flag says", "`Closed Won` in a row of state open", "move it to a row of that state"),
    "converted-not-flagged": _code("a lead status is called converted, and its flag says otherwise (a warning)", "`Converted by hand` without the flag", "have the flag or the name corrected there"),
    "status-ambiguous": _code("one label, several statuses", "two stages called `Close` in one process", "give the value itself"),
    "status-inactive": _code("the status is switched off there (a warning)", "a retired stage first in its row", "put another first, or have it switched on"),
    "status-unmapped": _code("a status or stage that is in no row: records that have it are held (a warning)", "`Canceled` in no row", "add it to a row; the message has one to paste"),
}  # fmt: skip

# --- lists of columns, values of the mapping's own, people, expressions, overlays --------------------------------

_MADE: Final[Mapping[str, Code]] = {
    "list-length": _code("a list with too few or too many entries", "`salesforce: [Street]`", "as many as the message says; one column is written without brackets"),
    "list-without-join": _code("several columns, and nothing says how they are put together", "`dynamics: [line1, line2]` alone", "add `convert: lines`, `convert: person_name` or `join:`"),
    "join-without-list": _code("`join` where every side has one column", '`{salesforce: Street, join: ", "}`', "take it out, or list several columns"),
    "join-and-convert": _code("`join` beside another conversion", '`join: ", ", convert: lines`', "take one of the two out"),
    "filler-and-list": _code("a filler for several columns", "`dynamics: [a, b], filler: {dynamics: x}`", "take the filler out"),
    "list-column-twice": _code("one column twice in a list", "`[line1, line1]`", "name it once"),
    "name-parts": _code("a name in more than three columns", "`[a, b, c, d], convert: person_name`", "two or three columns"),
    "name-loss-undeclared": _code("one side has a name in one column, so its last name is guessed", "`{salesforce: [FirstName, LastName], dynamics: new_name, convert: person_name}`", "declare it: `lossy:` with that connection's name"),
    "create-misfit": _code("a value for new records that does not fit its field", "`convert: boolean, create: maybe`", "a value of that kind; for a choice the name of a row"),
    "constant-misfit": _code("a constant that does not fit its field", "`convert: money, constant: 100`", "a value of that kind; an amount with its currency"),
    "made-twice": _code("a field that is constant and computed", "`constant: a, compute: b`", "take one of the two out"),
    "made-and-ruled": _code("a key that means nothing for a field that the mapping makes", "`constant: a, rule: both`", "take it out"),
    "made-without-column": _code("a constant or an expression for a side that the field does not have", "`constant: {dynamics: x}` without `dynamics`", "name the column there, or take it out"),
    "made-one-sided": _code("a field that the mapping makes, with a column that nothing is said for", "`{salesforce: A, dynamics: b, constant: {dynamics: x}}`", "a line of its own for that column"),
    "match-derived": _code("a made field recognises nobody", "`match: [[managed]]`", "take it out of the key"),
    "compute-misfit": _code("the result is of another kind than the field", '`convert: number, compute: "name"`', "change one of the two; `string(…)` makes a text"),
    "expression-wrong": _code("an expression that cannot be used", '`filter: surce == "web"`', "correct it at the character that is named"),
    "expression-library": _code("the library for expressions is not installed", "any `filter:` without the extra `expr`", "`pip install 'crmbridge[expr]'`"),
    "value-never": _code("an expression asks for a value that the field never has: a label, another spelling (a warning)", "`filter: country == \"Germany\"`", "what the message names: a row's name, a country's code, a day such as 2026-12-31"),
    "expression-blank": _code("an expression of a gate or a record type that fails where a field is blank (a warning)", "`gates: {propose: {needs: [close_date], when: amount > 1000}}`", "`amount != null && amount > 1000`"),
    "slot-open": _code("a bracket of `create:` without its partner (a warning)", '`create: "{company - {last_name}"`', "`{company}`, with both brackets"),
    "filter-blank": _code("a filter that fails where a field is blank (a warning)", "`filter: amount > 1000`", "`amount != null && amount > 1000`"),
    "filter-one-sided": _code("a filter that asks a field which one side does not have (a warning)", "`filter: topic != null`, and `topic` is Dynamics' alone", "give it a column there, or `topic == null || …`"),
    "person-key-misplaced": _code("`default` or `inactive` where no person is", "`{salesforce: Phone, inactive: leave}`", "add `convert: user`, or take it out"),
    "default-without-column": _code("a person for a side that the field does not have", "`default: {dynamics: a@x.example}` without `dynamics`", "name the column there, or take it out"),
    "person-not-email": _code("a user who is not named by e-mail address", "`owners: {ann: {salesforce: Ann}}`", "the address that the user has in that CRM"),
    "currency-missing": _code("a computed amount without a currency", "`{dynamics: new_net, convert: money, compute: amount * 0.8}`", "`currency: EUR`, or the field whose currency it has"),
    "currency-unknown": _code("a currency that is neither a code nor a field with an amount", "`currency: amuont`", "a code, or one of the fields named"),
    "currency-several": _code("amounts computed in two currencies on one record", "`currency: EUR` here, `currency: USD` there", "keep one"),
    "currency-misplaced": _code("a currency where no amount is computed", "`{salesforce: Amount, currency: EUR}`", "take it out"),
    "group-wrong-kind": _code("a team where there are queues, or the reverse", '`salesforce: "team:Inbound"`', "`queue:` in Salesforce, `team:` in Dynamics"),
    "group-unknown": _code("a queue or a team that is not there, or twice", "`queue:Inbuond`", "one that is there, by name or id (`check --live`)"),
    "person-unknown": _code("a person whom the table or the `default` names, and who is no active user there (a warning)", "`default: {dynamics: dsek@acme.example}`", "the address of an active user (`check --live`)"),
    "group-unnamed": _code("a queue or a team without a name", "`queue:`", "its name or its id behind the colon"),
    "converter-broken": _code("a package's converter that cannot be loaded", "`convert: acme_vat` with an error in that package", "mend or remove the package"),
    "table-shadows-shared": _code("a table of this name stands in values.yaml as well (a warning)", "`owners:` in both files", "another name, or take one out"),
    "shared-table-unused": _code("no mapping uses this shared table (a warning)", "`owners:` that no field names", "name it in a field, or take it out"),
    "overlay-not-map": _code("a file of a profile that is no map", "`lead.test.yaml` with a list", "keys and values, like the file it is laid over"),
    "overlay-nothing": _code("null in a file of a profile, for a key that is not there", "`fields: {emial: null}`", "correct the name, or take the line out"),
}  # fmt: skip

# --- crmbridge.yaml -----------------------------------------------------------------------------------------------

_SETTINGS: Final[Mapping[str, Code]] = {
    "setting-unknown": _code("no such key in crmbridge.yaml, or in a variable CRMBRIDGE_…", "`lifecyle:`", "correct the spelling, or take it out"),
    "setting-missing": _code("a key that must be there is not", "a connection without `url:`", "add it"),
    "setting-misfit": _code("another kind of value, or out of its bounds", "`guard: {creates: many}`", "the kind of value that is named"),
    "reference-unset": _code("a reference that leads nowhere on this machine", "`client_secret: ${env:SECRET}`, and no such variable", "set the variable, or write it into `.env`; correct the path"),
    "setting-not-section": _code("a value where keys belong", "`lifecycle: always`", "keys such as those named"),
    "setting-choice": _code("`system` or `flow` is none of those there are", "`system: sugar`", "one of those named"),
    "connections-two": _code("not exactly two connections", "a third one", "the left and the right one"),
    "connection-renamed": _code("the mappings are written for a connection of another name", "`dynamics:` in the files, `d365:` under `connections:`", "the new name in the files, or the old one in crmbridge.yaml"),
    "connection-name": _code("a connection's name has other letters", "`My-Org:`", "lower-case letters, digits and single `_`"),
    "login-incomplete": _code("keys of a login that go together", "`client_id` without `client_secret`", "both, or what the message says"),
    "choice-unknown": _code("an option of `lifecycle:` has no such choice", "`convert: {mirror: sometimes}`", "one of those named"),
    "choice-misplaced": _code("an option that means nothing for this kind of record", "`lead: {remove: {delete: lose}}`", "under the kind of record that the message names"),
    "fallback-unknown": _code("`default_owner` or a fallback owner is no single active user there", "`fallback: {dynamics: no@acme.example}`", "the address of an active user (`check --live`)"),
    "bucket-unknown": _code("`bucket` names no account that is there", "`contact_only: {bucket: 001000000000nonsense}`", "the id of an account (`check --live`)"),
    "fallback-not-email": _code("the fallback owner is no e-mail address", "`fallback: {salesforce: Ann}`", "the address that the user has there"),
    "segment-expression": _code("an expression that no mapping can answer", "`when: 'town == \"Kiel\"'` without a field `town`", "correct it at the character that is named"),
    "segment-blank": _code("an expression that fails where a field is blank", "`when: city.size() > 3`", "`city != null && …` before it"),
    "read-as-unknown": _code("`contradiction: {as: …}` names no row that a lead can be read as", "`{as: nwe}`", "a row that is open or disqualified"),
    "segment-kinds": _code("kinds of records that can belong to no part, since their mapping lacks the field (a warning)", "`when: 'region == \"emea\"'`, and no `region` in opportunity.yaml", "map the field there too, or name the kinds: `entities: [lead]`"),
    "segment-one-sided": _code("a part that asks a field which the first connection does not have (a warning)", "`when: 'topic != null'`, and `topic` is Dynamics' alone", "give it a column there, or let the other connection be the first"),
    "option-idle": _code("an option that does nothing without another one (a warning)", "`contact_only: person_account` without `person_accounts: on`", "what the message says, or take it out"),
    "segment-covered": _code("a part that no record reaches: one before it takes them all (a warning)", "`rest:` without `when` before `dach:`", "move it up"),
    "segment-when": _code("`when` is no text", "`when: true`", "an expression in quotes"),
    "segment-entities": _code("`entities` has other words", "`entities: [leads]`", "account, contact, lead, opportunity"),
    "master-unknown": _code("the master is no connection", "`master: sales`", "a connection's name"),
    "master-incomplete": _code("one of `first`, `cut_over`, `then` is missing", "`{first: salesforce, then: dynamics}`", "all three, or one name alone"),
    "cut-over-not-day": _code("`cut_over` is no day", "`cut_over: soon`", "a day such as 2026-12-01"),
    "cut-over-idle": _code("the same master before and after the day (a warning)", "`{first: dynamics, cut_over: 2026-12-01, then: dynamics}`", "the other one in `then`, or one name alone"),
    "cut-over-past": _code("the day has come, and the second master is in force (a note)", "`cut_over: 2025-12-01` where 2026 was meant", "nothing, or the day that was meant"),
}  # fmt: skip

SECTIONS: Final[Mapping[str, Mapping[str, Code]]] = {
    "The file": _FILE,
    "Its shape": _SHAPE,
    "Fields": _FIELDS,
    "Lists of columns, values of your own, people, expressions": _MADE,
    "Tables, status and stage": _TABLES,
    "Reasons, on hold, gates, record types": _AXIS,
    "What the CRMs really have": _LIVE,
    "crmbridge.yaml": _SETTINGS,
}  # fmt: skip
CODES: Final[Mapping[str, Code]] = {code: row for section in SECTIONS.values() for code, row in section.items()}
