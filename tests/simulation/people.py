"""People at work in both CRMs: what they may do, by the CRMs' own APIs and as users that are not ours.

What a CRM refuses them (a converted lead cannot be edited) simply does not happen; that is said in the trace.
"""

import json
import random
import re
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import quote
from xml.sax.saxutils import escape

from crmbridge.model import ENTITIES, SIDES, Entity, Side, other
from crmbridge.sandbox.core import Reply, Request
from tests.simulation.company import CRM, TABLES, Company, Row
from tests.simulation.mappings import TAG, TEXTS, UNMAPPED

ORIGIN: Final[Mapping[Side, str]] = {
    "left": "https://salesforce.sandbox.test",
    "right": "https://dynamics.sandbox.test",
}
SETS: Final[Mapping[Entity, str]] = {
    "account": "accounts",
    "contact": "contacts",
    "lead": "leads",
    "opportunity": "opportunities",
}
OPEN_STAGES: Final = ("Prospecting", "Qualification", "Needs Analysis", "Proposal/Price Quote", "Negotiation/Review")
OPEN_STATUSES: Final = ("Open - Not Contacted", "Working - Contacted")
AT: Final[Mapping[Side, int]] = {"left": 0, "right": 1}


class People:
    def __init__(self, company: Company, rng: random.Random) -> None:
        self.company, self._rng = company, rng
        self.number = 0
        self.doubled: set[str] = set()  # tags that people themselves may double
        self.again: set[str] = set()  # leads that were opened again, or converted on both sides
        self.converted: set[str] = set()  # leads that people converted, by their tags
        self.done: dict[str, int] = {}
        self.actor = "ada"
        self.before_them: frozenset[str] = frozenset()  # records that they look at, and rather do something with
        self._actions: Mapping[str, tuple[int, Callable[[Side], bool]]] = {
            "types a lead": (10, self.types_a_lead),
            "types the same lead twice": (1, self.types_the_same_lead),
            "types a customer": (3, self.types_a_customer),
            "types a deal": (4, self.types_a_deal),
            "edits": (40, self.edits),
            "edits both at once": (3, self.edits_both),
            "changes an amount": (6, self.changes_an_amount),
            "moves a contact": (2, self.moves_a_contact),
            "names a contact": (3, self.names_a_contact),
            "converts": (9, self.converts),
            "disqualifies": (6, self.disqualifies),
            "takes up again": (5, self.takes_up_again),
            "works a lead": (4, self.works_a_lead),
            "reactivates": (1, self.reactivates),
            "moves a deal": (5, self.moves_a_deal),
            "wins": (4, self.wins),
            "loses": (4, self.loses),
            "reopens": (3, self.reopens),
            "deletes": (1, self.deletes),
            "undeletes": (1, self.undeletes),
            "merges": (1, self.merges),
        }

    def act(self) -> str:
        """Somebody does something somewhere."""
        names = list(self._actions)
        name = self._rng.choices(names, [self._actions[name][0] for name in names])[0]
        side = self._rng.choice(SIDES)
        return self.do(name, side)

    def do(self, name: str, side: Side) -> str:
        self.actor = self._rng.choice(("ada", "bo"))
        happened = self._actions[name][1](side)
        if happened:
            self.done[name] = self.done.get(name, 0) + 1
        return f"{self.actor} {name} on {CRM[side]}{'' if happened else ' (in vain)'}"

    # --- new records ----------------------------------------------------------------------------------------------

    def types_a_lead(self, side: Side) -> bool:
        if len(self.company.live(side, "lead")) > 14:
            return False  # a small world is a quick one
        return self._new_lead(side, self._person())

    def types_the_same_lead(self, side: Side) -> bool:
        person = self._person()
        self.doubled.add(person["last"])  # whether we see the one before we make its partner is a matter of seconds
        first = self._new_lead(side, person)
        return self._new_lead(other(side), person) and first

    def _new_lead(self, side: Side, person: Mapping[str, str]) -> bool:
        if side == "left":
            columns = {"Title": self._text(), "Status": self._rng.choice(OPEN_STATUSES), **self._unmapped(side, "lead")}
            names = {"first": "FirstName", "last": "LastName", "company": "Company", "email": "Email"}
        else:
            columns = {
                "jobtitle": self._text(),
                "subject": person["last"].replace("Person", "Matter"),
                **self._unmapped(side, "lead"),
            }
            names = {"first": "firstname", "last": "lastname", "company": "companyname", "email": "emailaddress1"}
        columns |= {names[key]: value for key, value in person.items()}
        return self._create(side, "lead", columns) is not None

    def types_a_customer(self, side: Side) -> bool:
        if len(self.company.live(side, "account")) > 8:
            return False
        self.number += 1
        n, left = self.number, side == "left"
        account = self._create(
            side,
            "account",
            {
                "Name" if left else "name": f"Customer{n}",
                "BillingPostalCode" if left else "address1_postalcode": f"{n:05}",
                **self._unmapped(side, "account"),
            },
        )
        if account is None:
            return False
        contact = {
            "LastName" if left else "lastname": f"Friend{n}",
            "Email" if left else "emailaddress1": f"f{n}@example.com",
            **self._unmapped(side, "contact"),
        }
        contact |= {"AccountId": account} if left else {"parentcustomerid_account@odata.bind": f"/accounts({account})"}
        return self._create(side, "contact", contact) is not None

    def types_a_deal(self, side: Side) -> bool:
        account = self._pick(side, "account")
        if account is None or len(self.company.live(side, "opportunity")) > 10:
            return False
        self.number += 1
        amount = self._amount()
        columns: dict[str, Any] = self._unmapped(side, "opportunity")
        if side == "left":
            columns |= {"Name": f"Deal{self.number}", "AccountId": account, "Amount": amount}
            columns |= {"StageName": self._rng.choice(OPEN_STAGES), "CloseDate": "2026-12-31"}
        else:
            columns |= {"name": f"Deal{self.number}", "parentaccountid@odata.bind": f"/accounts({account})"}
            columns |= {"estimatedvalue": amount, "estimatedclosedate": "2026-12-31"}
        return self._create(side, "opportunity", columns) is not None

    # --- edits ----------------------------------------------------------------------------------------------------

    def edits(self, side: Side) -> bool:
        entity = self._rng.choice(ENTITIES)
        id = self._pick(side, entity)
        return id is not None and self.edit_text(side, entity, id)

    def edit_text(self, side: Side, entity: Entity, id: str) -> bool:
        field = self._rng.choice(list(TEXTS[entity]))
        columns: dict[str, Any] = {TEXTS[entity][field][AT[side]]: self._text()}
        if self._rng.random() < 0.1:
            columns |= self._unmapped(side, entity)
        return self._update(side, entity, id, columns)

    def edits_both(self, side: Side) -> bool:
        """Twins by their name, within the same second."""
        entity = self._rng.choice(ENTITIES)
        id = self._pick(side, entity)
        if id is None:
            return False
        tag = self.company.rows(side, entity)[id].get(TAG[entity][AT[side]])
        there = other(side)
        twins = [one for one in self.company.live(there, entity) if self._tag(there, entity, one) == tag]
        field = self._rng.choice(list(TEXTS[entity]))
        done = self._update(side, entity, id, {TEXTS[entity][field][AT[side]]: self._text()})
        for twin in twins[:1]:
            done = self._update(there, entity, twin, {TEXTS[entity][field][AT[there]]: self._text()}) and done
        return done

    def writes(self, entity: Entity, id: str, column: str) -> bool:
        """A text of this column on Salesforce, nobody's else."""
        return self._update("left", entity, id, {column: self._text()})

    def changes_an_amount(self, side: Side) -> bool:
        id = self._pick(side, "opportunity")
        if id is None:
            return False
        row = self.company.rows(side, "opportunity")[id]
        name = "Amount" if side == "left" else "actualvalue" if row.get("statecode") == 1 else "estimatedvalue"
        return self._update(side, "opportunity", id, {name: self._amount()})

    def moves_a_contact(self, side: Side) -> bool:
        contact, account = self._pick(side, "contact"), self._pick(side, "account")
        if contact is None or account is None:
            return False
        columns = (
            {"AccountId": account}
            if side == "left"
            else {"parentcustomerid_account@odata.bind": f"/accounts({account})"}
        )
        return self._update(side, "contact", contact, columns)

    def names_a_contact(self, side: Side) -> bool:
        """Of an open deal; on Salesforce that is its primary role."""
        deal, known = self._pick(side, "opportunity", self._deal_is_open), self.company.live(side, "contact")[:3]
        if deal is None or not known:
            return False
        contact = self._rng.choice(known)  # of few, so that one comes again
        if side == "right":
            return self._update(side, "opportunity", deal, {"parentcontactid@odata.bind": f"/contacts({contact})"})
        roles = self.company.table("left", "OpportunityContactRole")
        own = [id for id, row in roles.items() if row["OpportunityId"] == deal and not row.get("IsDeleted")]
        same = [id for id in own if roles[id]["ContactId"] == contact]
        path = "/services/data/v60.0/sobjects/OpportunityContactRole"
        if same:
            return self._call(side, "PATCH", f"{path}/{same[0]}", {"IsPrimary": True}).status < 300
        columns = {"OpportunityId": deal, "ContactId": contact, "IsPrimary": True}
        return self._call(side, "POST", path, columns).status < 300

    # --- a lead's life --------------------------------------------------------------------------------------------

    def converts(self, side: Side) -> bool:
        lead = self._pick(side, "lead", self._is_open)
        if lead is None:
            return False
        row = self.company.rows(side, "lead")[lead]
        twin = self._twin(side, "lead", lead)
        tags = {str(row.get("LastName") or row.get("lastname")), str(row.get("Company") or row.get("companyname"))}
        if tags & self.converted or (twin is not None and self._converted(other(side), twin)):
            self.again |= tags
        self.converted |= tags
        if side == "right" and row.get("parentaccountid"):  # it was qualified before
            self.again |= tags
        return self.convert(side, lead)

    def convert(self, side: Side, lead: str) -> bool:
        account = self._pick(side, "account") if self._rng.random() < 0.5 else None
        deal = self._rng.random() < 0.6
        return self._convert(lead, account, deal) if side == "left" else self._qualify(lead, account, deal)

    def _convert(self, lead: str, account: str | None, deal: bool) -> bool:
        rows = self.company.rows("left", "opportunity")
        known = self._pick("left", "opportunity", self._deal_is_open) if self._rng.random() < 0.15 else None
        if known is not None:  # into a deal that is there, and its customer
            account, deal = rows[known].get("AccountId"), True
        parts = [
            _element("accountId", account),
            _element("convertedStatus", "Closed - Converted"),
            _element("doNotCreateOpportunity", "false" if deal else "true"),
            _element("leadId", lead),
            _element("opportunityId", known),
            _element("overwriteLeadSource", "false"),
            _element("sendNotificationEmail", "false"),
        ]
        return self._soap(f"<urn:convertLead><urn:leadConverts>{''.join(parts)}</urn:leadConverts></urn:convertLead>")

    def _qualify(self, lead: str, account: str | None, deal: bool) -> bool:
        row = self.company.rows("right", "lead")[lead]
        if account and not row.get("parentaccountid"):
            self._update("right", "lead", lead, {"parentaccountid@odata.bind": f"/accounts({account})"})
            row = self.company.rows("right", "lead")[lead]
        body = {
            "CreateAccount": not row.get("parentaccountid"),
            "CreateContact": not row.get("parentcontactid"),
            "CreateOpportunity": deal,
            "Status": 3,
        }
        path = f"/api/data/v9.2/leads({lead})/Microsoft.Dynamics.CRM.QualifyLead"
        return self._call("right", "POST", path, body).status < 300

    def disqualifies(self, side: Side) -> bool:
        lead = self._pick(side, "lead", self._is_open)
        if lead is None:
            return False
        if side == "left":
            return self._update(side, "lead", lead, {"Status": "Closed - Not Converted"})
        return self._update(side, "lead", lead, {"statecode": 2, "statuscode": self._rng.choice((4, 5, 6, 7))})

    def works_a_lead(self, side: Side) -> bool:
        lead = self._pick(side, "lead", lambda side, row: not self._is_converted(side, row))
        if lead is None:
            return False
        if side == "left":
            return self._update(side, "lead", lead, {"Status": self._rng.choice(OPEN_STATUSES)})
        return self._update(side, "lead", lead, {"statecode": 0, "statuscode": self._rng.choice((1, 2))})

    def takes_up_again(self, side: Side) -> bool:
        """A lead that was given up, and is none any more."""
        lead = self._pick(
            side, "lead", lambda side, row: not (self._is_converted(side, row) or self._is_open(side, row))
        )
        if lead is None:
            return False
        if side == "left":
            return self._update(side, "lead", lead, {"Status": self._rng.choice(OPEN_STATUSES)})
        return self._update(side, "lead", lead, {"statecode": 0, "statuscode": self._rng.choice((1, 2))})

    def reactivates(self, side: Side) -> bool:
        lead = self._pick("right", "lead", self._is_converted)
        if lead is None:
            return False
        row = self.company.rows("right", "lead")[lead]
        self.again |= {str(row.get("lastname")), str(row.get("companyname"))}
        return self._update("right", "lead", lead, {"statecode": 0, "statuscode": 1})

    # --- a deal's life --------------------------------------------------------------------------------------------

    def moves_a_deal(self, side: Side) -> bool:
        deal = self._pick("left", "opportunity", self._deal_is_open)
        if deal is None:
            return False
        return self._update("left", "opportunity", deal, {"StageName": self._rng.choice(OPEN_STAGES)})

    def wins(self, side: Side) -> bool:
        return self._close(side, won=True)

    def loses(self, side: Side) -> bool:
        return self._close(side, won=False)

    def _close(self, side: Side, *, won: bool) -> bool:
        deal = self._pick(side, "opportunity", self._deal_is_open)
        if deal is None:
            return False
        if side == "left":
            return self._update(side, "opportunity", deal, {"StageName": "Closed Won" if won else "Closed Lost"})
        row = self.company.rows(side, "opportunity")[deal]
        value = row.get("estimatedvalue")
        close: dict[str, Any] = {
            "subject": "Closed by its owner",
            "actualrevenue": float(value) if won and value is not None else 0,
            "actualend": self.company.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ"),
            "opportunityid@odata.bind": f"/opportunities({deal})",
        }
        body = {"Status": 3 if won else self._rng.choice((4, 5)), "OpportunityClose": close}
        path = f"/api/data/v9.2/{'WinOpportunity' if won else 'LoseOpportunity'}"
        return self._call("right", "POST", path, body).status < 300

    def reopens(self, side: Side) -> bool:
        deal = self._pick(side, "opportunity", lambda side, row: not self._deal_is_open(side, row))
        if deal is None:
            return False
        columns = {"StageName": "Prospecting"} if side == "left" else {"statecode": 0, "statuscode": 1}
        return self._update(side, "opportunity", deal, columns)

    # --- removals -------------------------------------------------------------------------------------------------

    def deletes(self, side: Side) -> bool:
        entity = self._rng.choice(ENTITIES)
        id = self._pick(side, entity)
        if id is None:
            return False
        path = (
            f"/services/data/v60.0/sobjects/{TABLES[side][entity]}/{id}" if side == "left" else self._path(entity, id)
        )
        return self._call(side, "DELETE", path).status < 300

    def undeletes(self, side: Side) -> bool:
        """Salesforce has a recycle bin."""
        entity = self._rng.choice(ENTITIES)
        gone = [id for id, row in self.company.rows("left", entity).items() if row.get("IsDeleted")]
        gone = [id for id in gone if not self.company.rows("left", entity)[id].get("MasterRecordId")]
        if not gone:
            return False
        id = self._rng.choice(gone)
        self.doubled.add(self._tag("left", entity, id))
        return self._soap(f"<urn:undelete><urn:ids>{id}</urn:ids></urn:undelete>")

    def merges(self, side: Side) -> bool:
        entity: Entity = self._rng.choice(("account", "contact", "lead"))
        master, loser = (self._pick(side, entity, self._mergeable) for _ in range(2))
        if master is None or loser is None or master == loser:
            return False
        self.doubled |= {self._tag(side, entity, one) for one in (master, loser)}
        if side == "left":
            name = TABLES[side][entity]
            return self._soap(
                f"<urn:merge><urn:request><urn:masterRecord><urn:type>{name}</urn:type><urn:Id>{master}</urn:Id>"
                f"</urn:masterRecord><urn:recordToMergeIds>{loser}</urn:recordToMergeIds></urn:request></urn:merge>"
            )

        def named(id: str) -> dict[str, str]:
            return {"@odata.type": f"Microsoft.Dynamics.CRM.{entity}", f"{entity}id": id}

        body = {"Target": named(master), "Subordinate": named(loser), "PerformParentingChecks": False}
        return self._call(side, "POST", "/api/data/v9.2/Merge", body).status < 300

    # --- parts ----------------------------------------------------------------------------------------------------

    def _person(self) -> dict[str, str]:
        self.number += 1
        n = self.number
        return {"first": "Kim", "last": f"Person{n}", "company": f"Company{n}", "email": f"p{n}@example.com"}

    def _text(self) -> str:
        self.number += 1
        return f"text {self.number}"

    def _amount(self) -> float:
        self.number += 1
        return 1000 + self.number

    def _unmapped(self, side: Side, entity: Entity) -> dict[str, Any]:
        self.number += 1
        value = f"https://{self.number}.example" if entity == "lead" else f"own {self.number}"
        return {UNMAPPED[entity][AT[side]]: value}

    def _pick(self, side: Side, entity: Entity, like: Callable[[Side, Row], bool] | None = None) -> str | None:
        ids = self.company.live(side, entity)
        if like is not None:
            rows = self.company.rows(side, entity)
            ids = [id for id in ids if like(side, rows[id])]
        ids = [id for id in ids if id in self.before_them] or ids
        return self._rng.choice(ids) if ids else None

    def _tag(self, side: Side, entity: Entity, id: str) -> str:
        return str(self.company.rows(side, entity)[id].get(TAG[entity][AT[side]]))

    def _twin(self, side: Side, entity: Entity, id: str) -> str | None:
        tag, there = self._tag(side, entity, id), other(side)
        found = (one for one in self.company.rows(there, entity) if self._tag(there, entity, one) == tag)
        return next(found, None)

    def _converted(self, side: Side, id: str) -> bool:
        return self._is_converted(side, self.company.rows(side, "lead")[id])

    @staticmethod
    def _is_converted(side: Side, row: Row) -> bool:
        return bool(row.get("IsConverted")) if side == "left" else row.get("statecode") == 1

    @staticmethod
    def _is_open(side: Side, row: Row) -> bool:
        if side == "left":
            return not row.get("IsConverted") and row.get("Status") in OPEN_STATUSES
        return row.get("statecode", 0) == 0

    @staticmethod
    def _mergeable(side: Side, row: Row) -> bool:
        return not row.get("IsConverted") if side == "left" else row.get("statecode", 0) == 0

    @staticmethod
    def _deal_is_open(side: Side, row: Row) -> bool:
        return not row.get("IsClosed") if side == "left" else row.get("statecode", 0) == 0

    # --- calls ----------------------------------------------------------------------------------------------------

    def _create(self, side: Side, entity: Entity, columns: Mapping[str, Any]) -> str | None:
        if side == "left":
            path = f"/services/data/v60.0/sobjects/{TABLES[side][entity]}"
            reply = self._call(side, "POST", path, columns)
            return json.loads(reply.body)["id"] if reply.status == 201 else None
        reply = self._call(side, "POST", f"/api/data/v9.2/{SETS[entity]}", columns)
        found = re.search(r"\(([0-9a-f-]{36})\)", dict(reply.headers).get("OData-EntityId", ""))
        return found[1] if found else None

    def _update(self, side: Side, entity: Entity, id: str, columns: Mapping[str, Any]) -> bool:
        if side == "left":
            path = f"/services/data/v60.0/sobjects/{TABLES[side][entity]}/{id}"
            return self._call(side, "PATCH", path, columns).status < 300
        return self._call(side, "PATCH", self._path(entity, id), columns, {"if-match": "*"}).status < 300

    @staticmethod
    def _path(entity: Entity, id: str) -> str:
        return f"/api/data/v9.2/{SETS[entity]}({id})"

    def _soap(self, inner: str) -> bool:
        body = (
            '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" '
            'xmlns:urn="urn:partner.soap.sforce.com"><soapenv:Header><urn:SessionHeader><urn:sessionId>'
            f"{escape(self.company.tokens['left'])}</urn:sessionId></urn:SessionHeader></soapenv:Header>"
            f"<soapenv:Body>{inner}</soapenv:Body></soapenv:Envelope>"
        )
        headers = {"content-type": "text/xml; charset=UTF-8", "soapaction": '""'}
        request = Request(
            method="POST",
            path="/services/Soap/u/60.0",
            headers=headers,
            body=body.encode(),
            origin=ORIGIN["left"],
        )
        reply = self._again("left", request, lambda: None)
        return b"<success>true</success>" in reply.body

    def _call(
        self, side: Side, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Reply:
        def request() -> Request:
            return Request(
                method=method,
                path=quote(path, safe="/()"),
                headers={
                    "authorization": f"Bearer {self.company.tokens[side]}",
                    "content-type": "application/json",
                    **(headers or {}),
                },
                body=json.dumps(body).encode() if body is not None else b"",
                origin=ORIGIN[side],
            )

        return self._again(side, request(), request)

    def _again(self, side: Side, request: Request, anew: Callable[[], Request | None]) -> Reply:
        """A person's session lives for some hours; then they log in again."""
        reply = self.company.commit(self.actor, CRM[side], request)
        if reply.status != 401 and b"INVALID_SESSION_ID" not in reply.body:
            return reply
        old = self.company.tokens[side]
        token = self.company.sandbox.crms[CRM[side]].login_as("ada@example.com")["access_token"]
        self.company.tokens[side] = token
        following = anew()
        if following is None:  # the session stands in the body
            body = request.body.replace(escape(old).encode(), escape(token).encode())
            following = Request(
                method=request.method, path=request.path, headers=request.headers, body=body, origin=request.origin
            )
        return self.company.commit(self.actor, CRM[side], following)


def _element(name: str, value: str | None) -> str:
    return "" if value is None else f"<urn:{name}>{escape(value)}</urn:{name}>"
