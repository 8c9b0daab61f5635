"""The life cycle in the Dataverse half: states, qualification, closing, processes (dataverse-api §6-8, lifecycle)."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.dataverse import Environment

LEAD_PROCESS = "leadtoopportunitysalesprocess"
LEAD_STAGES = [
    "f99b4d48-7aad-456e-864a-8e7d543f7495",
    "bfc9108c-8389-406b-9166-2c3298a2e41f",
    "3a275c22-fc45-4e89-97fc-41e5ec578743",
    "7f5247fe-cfc3-42bc-aa77-b1d836d9b7c0",
]
EMPTY = "00000000-0000-0000-0000-000000000000"


@pytest.fixture
def env() -> Environment:
    return Environment()


def made(answer: Any) -> dict[str, str]:
    """Ids by table of what QualifyLead created."""
    assert answer.status == 200, answer.text
    found: dict[str, str] = {}
    for each in answer.json["value"]:
        table = each["@odata.type"].rpartition(".")[2]
        found[table] = each[f"{table}id"]
    return found


def close(env: Environment, action: str, opportunity: str, status: int, **closing: Any) -> Any:
    body = {"subject": "Closed", "opportunityid@odata.bind": f"/opportunities({opportunity})", **closing}
    return env.post(action, {"Status": status, "OpportunityClose": body})


def instance(env: Environment, table: str, lookup: str, key: str) -> dict[str, Any]:
    (row,) = env.get(f"{table}es?$filter=_{lookup}_value eq {key}").rows
    return row


# States


def test_qualified_and_disqualified_change_places_only_through_open(env: Environment) -> None:
    lead = f"leads({env.lead()})"
    assert env.patch(lead, {"statecode": 2, "statuscode": 5}).status == 204
    assert env.patch(lead, {"jobtitle": "closed rows stay editable"}).status == 204
    assert env.patch(lead, {"statecode": 1, "statuscode": 3}).code == "0x80040519"
    assert env.patch(lead, {"statecode": 0}).status == 204
    assert env.row(lead)["statuscode"] == 1  # DefaultStatus
    assert env.patch(lead, {"statecode": 1}).status == 204  # bare: creates nothing
    assert (env.row(lead)["statuscode"], env.get("accounts/$count").text) == (3, "0")


def test_won_and_lost_need_their_messages_and_pass_through_open(env: Environment) -> None:
    key = env.post("opportunities", {"name": "Deal", "estimatedvalue": 100}).id
    url = f"opportunities({key})"
    assert env.patch(url, {"statecode": 1, "statuscode": 3}).code == "0x80100005"
    assert close(env, "WinOpportunity", key, 4).code == "0x80048408"
    won = close(env, "WinOpportunity", key, 3, actualrevenue=12000, actualend="2026-11-20T00:00:00Z")
    assert (won.status, won.reply.body) == (204, b"")
    row = env.row(url)
    assert (row["statecode"], row["actualvalue"], row["actualclosedate"]) == (1, 12000, "2026-11-20")
    assert row["msdyn_forecastcategory"] == 100000005
    assert close(env, "LoseOpportunity", key, 5).code == "0x80040515"
    assert env.patch(url, {"actualvalue": 12500, "statecode": 1, "statuscode": 3}).status == 204
    assert env.patch(url, {"statecode": 0, "statuscode": 1}).status == 204
    assert close(env, "LoseOpportunity", key, -1).status == 204
    row = env.row(url)
    assert (row["statuscode"], row["actualvalue"], row["actualclosedate"]) == (4, None, "2026-08-14")
    activities = env.get(f"{url}/Opportunity_OpportunityClose?$orderby=createdon").rows
    assert [row["statuscode"] for row in activities] == [2, 2]  # a reopen leaves the first one Completed
    assert env.post("WinOpportunity", {"Status": 3, "OpportunityClose": {"nosuch": 1}}).code == "0x80048d19"


def test_the_customer_follows_the_parents(env: Environment) -> None:
    account, contact = env.post("accounts", {"name": "A"}).id, env.post("contacts", {"lastname": "C"}).id
    by_account, by_contact = f"/accounts({account})", f"/contacts({contact})"
    key = env.post("opportunities", {"name": "O", "customerid_contact@odata.bind": by_contact}).id
    url = f"opportunities({key})"

    def customer() -> tuple[str | None, str | None, str | None]:
        row = env.row(url)
        return row["_customerid_value"], row["_parentaccountid_value"], row["_parentcontactid_value"]

    assert customer() == (contact, None, contact)
    env.patch(url, {"parentaccountid@odata.bind": by_account})  # the account wins
    assert customer() == (account, account, contact)
    env.patch(url, {"parentaccountid@odata.bind": None})
    assert customer() == (contact, None, contact)
    env.patch(url, {"customerid_account@odata.bind": by_account})
    assert customer() == (account, account, contact)


# QualifyLead


def test_qualification_creates_links_and_maps(env: Environment) -> None:
    lead = env.lead(
        firstname="Ada", companyname="Engines", emailaddress1="ada@engines.example", mobilephone="1", donotphone=True,
        estimatedamount=100, estimatedclosedate="2026-11-30", budgetstatus=2, description="d", jobtitle="CEO",
    )  # fmt: skip
    ids = made(env.qualify(lead, SuppressDuplicateDetection=True, OpportunityCustomerId={}, SourceCampaignId={}))
    assert list(ids) == ["account", "contact", "opportunity"]
    row = env.row(f"leads({lead})")
    assert (row["statecode"], row["statuscode"]) == (1, 3)
    assert [
        row[f"_{name}_value"] for name in ("parentaccountid", "parentcontactid", "qualifyingopportunityid")
    ] == list(ids.values())
    account = env.row(f"accounts({ids['account']})")
    contact = env.row(f"contacts({ids['contact']})")
    opportunity = env.row(f"opportunities({ids['opportunity']})")
    assert {r["_originatingleadid_value"] for r in (account, contact, opportunity)} == {lead}
    assert (account["name"], account["_primarycontactid_value"], account["donotphone"]) == (
        "Engines",
        ids["contact"],
        True,
    )
    assert (contact["fullname"], contact["_parentcustomerid_value"], contact["jobtitle"]) == (
        "Ada Byron",
        ids["account"],
        "CEO",
    )
    assert opportunity["name"] == "Asks for a demo"
    assert (opportunity["estimatedvalue"], opportunity["estimatedclosedate"], opportunity["budgetstatus"]) == (
        100,
        "2026-11-30",
        2,
    )
    assert (opportunity["_customerid_value"], opportunity["_parentcontactid_value"]) == (ids["account"], ids["contact"])
    assert (opportunity["statecode"], opportunity["statuscode"]) == (0, 1)
    again = env.qualify(lead)
    assert (again.status, again.code) == (400, "0x80040519")


def test_existing_rows_stay_untouched(env: Environment) -> None:
    account, contact = env.post("accounts", {"name": "Old"}).id, env.post("contacts", {"lastname": "Old"}).id
    before = env.row(f"accounts({account})"), env.row(f"contacts({contact})")
    lead = env.lead(
        companyname="New",
        **{
            "parentaccountid@odata.bind": f"/accounts({account})",
            "parentcontactid@odata.bind": f"/contacts({contact})",
        },
    )
    ids = made(env.qualify(lead, CreateAccount=False, CreateContact=False, Status=-1))
    assert list(ids) == ["opportunity"]
    assert (env.row(f"accounts({account})"), env.row(f"contacts({contact})")) == before
    opportunity = env.row(f"opportunities({ids['opportunity']})")
    assert (opportunity["_customerid_value"], opportunity["_parentcontactid_value"]) == (account, contact)


def test_nothing_to_create_closes_the_lead_alone(env: Environment) -> None:
    lead = env.lead()
    assert made(env.qualify(lead, CreateAccount=False, CreateContact=False, CreateOpportunity=False)) == {}
    assert env.row(f"leads({lead})")["_qualifyingopportunityid_value"] is None
    assert instance(env, LEAD_PROCESS, "leadid", lead)["_activestageid_value"] == LEAD_STAGES[0]


def test_currency_customer_and_campaign_can_be_given(env: Environment) -> None:
    euro = env.get("transactioncurrencies?$filter=isocurrencycode eq 'EUR'").rows[0]["transactioncurrencyid"]
    contact, campaign = env.post("contacts", {"lastname": "C"}).id, env.post("campaigns", {"name": "Fair"}).id
    currency = {"@odata.type": "Microsoft.Dynamics.CRM.transactioncurrency", "transactioncurrencyid": euro}
    ids = made(env.qualify(
        env.lead(estimatedamount=92),
        CreateAccount=False,
        CreateContact=False,
        OpportunityCurrencyId=currency,
        OpportunityCustomerId={"@odata.type": "Microsoft.Dynamics.CRM.contact", "contactid": contact},
        SourceCampaignId={"@odata.type": "Microsoft.Dynamics.CRM.campaign", "campaignid": campaign},
    ))  # fmt: skip
    row = env.row(f"opportunities({ids['opportunity']})")
    assert (row["estimatedvalue"], row["estimatedvalue_base"], row["exchangerate"]) == (92, 100, 0.92)
    assert (row["_customerid_value"], row["_campaignid_value"]) == (contact, campaign)


@pytest.mark.parametrize(
    ("lead", "parameters", "code"),
    [
        ({}, {"Status": 4}, "0x80048408"),
        ({}, {"CreateAccount": None}, "0x80048d19"),
        ({}, {"Nonsense": 1}, "0x80048d19"),
        ({"companyname": "Twin"}, {"SuppressDuplicateDetection": False}, "0x80040333"),
        (
            {},
            {"OpportunityCustomerId": {"@odata.type": "Microsoft.Dynamics.CRM.account", "accountid": EMPTY}},
            "0x80040217",
        ),
        ({}, {"ProcessInstanceId": {"businessprocessflowinstanceid": EMPTY}}, "0x80040217"),
    ],
)
def test_a_refused_qualification_leaves_nothing_behind(
    env: Environment, lead: dict[str, Any], parameters: dict[str, Any], code: str
) -> None:
    env.post("accounts", {"name": "Twin"})
    key = env.lead(**lead)
    before = env.app.dump()
    assert env.qualify(key, **parameters).code == code
    assert env.app.dump() == before


def test_the_short_name_of_the_action_is_refused(env: Environment) -> None:
    assert env.post(f"leads({env.lead()})/QualifyLead", {}).status == 400
    assert env.qualify("00000000-0000-4000-8000-000000000001").code == "0x80040217"


# Processes


def test_the_server_starts_a_process_unless_told_not_to(env: Environment) -> None:
    lead = env.lead()
    row = instance(env, LEAD_PROCESS, "leadid", lead)
    assert (row["_activestageid_value"], row["traversedpath"], row["statuscode"]) == (LEAD_STAGES[0], LEAD_STAGES[0], 1)
    assert env.lead(processid=EMPTY)
    assert env.get(f"{LEAD_PROCESS}es/$count").text == "1"
    opportunity = env.post("opportunities", {"name": "O"}).id
    assert instance(env, "opportunitysalesprocess", "opportunityid", opportunity)["traversedpath"].startswith(
        "6b9ce798"
    )


def test_the_web_client_s_own_way_to_start_it(env: Environment) -> None:
    lead = env.lead(processid=EMPTY)
    answer = env.post(f"{LEAD_PROCESS}es", {
        "processid@odata.bind": "/workflows(919e14d1-6489-4852-abd0-a63a6ecaac5d)",
        "leadId@odata.bind": f"/leads({lead})",
        "traversedpath": LEAD_STAGES[0],
        "activestageid@odata.bind": f"/processstages({LEAD_STAGES[0]})",
    })  # fmt: skip
    assert answer.status == 204
    assert instance(env, LEAD_PROCESS, "leadid", lead)["businessprocessflowinstanceid"] == answer.id
    wrong_case = {"leadid@odata.bind": f"/leads({lead})"}
    assert env.post(f"{LEAD_PROCESS}es", wrong_case).code == "0x80048d19"


def move(env: Environment, row: dict[str, Any], *path: str) -> Any:
    return env.patch(
        f"{LEAD_PROCESS}es({row['businessprocessflowinstanceid']})",
        {"activestageid@odata.bind": f"/processstages({path[-1]})", "traversedpath": ",".join(path)},
    )


def test_stages_move_one_step_and_never_back_to_the_lead(env: Environment) -> None:
    lead = env.lead()
    row = instance(env, LEAD_PROCESS, "leadid", lead)
    assert move(env, row, *LEAD_STAGES[:2]).code == "0x80060462"  # no opportunity yet
    named = {"businessprocessflowinstanceid": row["businessprocessflowinstanceid"]}
    ids = made(env.qualify(lead, ProcessInstanceId={"@odata.type": f"Microsoft.Dynamics.CRM.{LEAD_PROCESS}", **named}))
    row = instance(env, LEAD_PROCESS, "opportunityid", ids["opportunity"])
    assert row["traversedpath"].split(",") == LEAD_STAGES[:2]
    assert env.row(f"opportunities({ids['opportunity']})")["salesstage"] == 1
    assert env.get("opportunitysalesprocesses/$count").text == "0"  # the lead's process goes on
    assert move(env, row, LEAD_STAGES[0]).code == "0x80100002"  # the Develop trap
    assert move(env, row, *LEAD_STAGES).code == "0x80092003"  # two steps
    assert move(env, row, LEAD_STAGES[0], LEAD_STAGES[2]).code == "0x80092003"
    assert move(env, row, *LEAD_STAGES[1:3]).code == "0x80060456"
    assert move(env, row, "6b9ce798-221a-4260-90b2-2a95ed51a5bc").code == "0x80060452"
    env.move(hours=1)
    assert move(env, row, *LEAD_STAGES[:3]).status == 204
    url = f"{LEAD_PROCESS}es({row['businessprocessflowinstanceid']})"
    assert env.patch(url, {"activestageid@odata.bind": f"/processstages({LEAD_STAGES[1]})"}).code == "0x80060455"
    assert env.row(url)["activestagestartedon"] == "2026-08-14T13:00:00Z"
    assert env.row(f"opportunities({ids['opportunity']})")["salesstage"] == 2
    assert env.patch(url, {"statecode": 1, "statuscode": 2}).status == 204
    assert env.row(url)["completedon"] == "2026-08-14T13:00:00Z"
    assert move(env, row, *LEAD_STAGES).code == "0x80060377"
    assert env.row(f"opportunities({ids['opportunity']})")["statecode"] == 0  # finishing closes nothing


def test_functions_on_processes(env: Environment) -> None:
    lead = env.lead()
    found = env.row(f"RetrieveProcessInstances(EntityId=@p1,EntityLogicalName=@p2)?@p1={lead}&@p2='lead'")["Processes"]
    assert [each["processstageid"] for each in found] == [LEAD_STAGES[0]]
    path = env.get(f"RetrieveActivePath(ProcessInstanceId={found[0]['businessprocessflowinstanceid']})").rows
    assert [stage["stagename"] for stage in path] == ["Qualify", "Develop", "Propose", "Close"]
    stages = env.get(
        "processstages?$select=stagecategory&$filter=_processid_value eq 919e14d1-6489-4852-abd0-a63a6ecaac5d"
    ).rows
    assert sorted(stage["stagecategory"] for stage in stages) == [0, 1, 2, 3]


def test_loaded_rows_stand_where_the_file_says(env: Environment) -> None:
    env.app.load(
        {
            "lead": [{"_ref": "l", "subject": "S", "_stage": None}],
            "opportunity": [
                {"name": "P", "_stage": "Propose", "modifiedon": "2026-01-01T00:00:00Z", "originatingleadid": "@l"},
                {"name": "W", "statecode": 1},
            ],
        }
    )
    rows = {row["name"]: row for row in env.get("opportunities").rows}
    assert (rows["P"]["salesstage"], rows["P"]["modifiedon"]) == (2, "2026-01-01T00:00:00Z")
    assert (rows["W"]["salesstage"], rows["W"]["statuscode"]) == (None, 3)
    assert [env.get(f"{name}es/$count").text for name in (LEAD_PROCESS, "opportunitysalesprocess")] == ["0", "1"]


def test_merge_deactivates_the_loser_and_moves_what_pointed_to_it(env: Environment) -> None:
    winner, loser = env.post("accounts", {"name": "W"}).id, env.post("accounts", {"name": "L"}).id
    contact = env.post("contacts", {"lastname": "C", "parentcustomerid_account@odata.bind": f"/accounts({loser})"}).id
    body = {
        "Target": {"@odata.type": "Microsoft.Dynamics.CRM.account", "accountid": winner},
        "Subordinate": {"@odata.type": "Microsoft.Dynamics.CRM.account", "accountid": loser},
        "UpdateContent": {"@odata.type": "Microsoft.Dynamics.CRM.account", "telephone1": "1"},
        "PerformParentingChecks": False,
    }
    assert env.post("Merge", body).status == 204
    row = env.row(f"accounts({loser})")
    assert (row["merged"], row["_masterid_value"], row["statecode"], row["statuscode"]) == (True, winner, 1, 2)
    assert env.row(f"accounts({winner})")["telephone1"] == "1"
    assert env.row(f"contacts({contact})")["_parentcustomerid_value"] == winner


# Whatever is asked, a refusal changes nothing and states stay within the rules


ACTIONS = ["qualify", "disqualify", "reopen", "bare", "win", "lose", "reopen deal", "won by patch"]


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(st.sampled_from(ACTIONS), min_size=1, max_size=12))
def test_states_only_move_along_the_allowed_ways(steps: list[str]) -> None:
    env = Environment()
    lead = env.lead(companyname="C")
    deal = env.post("opportunities", {"name": "O"}).id
    requests = {
        "qualify": lambda: env.qualify(lead),
        "disqualify": lambda: env.patch(f"leads({lead})", {"statecode": 2}),
        "reopen": lambda: env.patch(f"leads({lead})", {"statecode": 0}),
        "bare": lambda: env.patch(f"leads({lead})", {"statecode": 1}),
        "win": lambda: close(env, "WinOpportunity", deal, 3),
        "lose": lambda: close(env, "LoseOpportunity", deal, 4),
        "reopen deal": lambda: env.patch(f"opportunities({deal})", {"statecode": 0}),
        "won by patch": lambda: env.patch(f"opportunities({deal})", {"statecode": 1}),
    }
    for step in steps:
        before = env.app.dump()
        state, closed = env.row(f"leads({lead})")["statecode"], env.row(f"opportunities({deal})")["statecode"]
        answer = requests[step]()
        after = env.row(f"leads({lead})")["statecode"], env.row(f"opportunities({deal})")["statecode"]
        if answer.status >= 400:
            assert env.app.dump() == before
        assert {state, after[0]} != {1, 2}
        assert {closed, after[1]} != {1, 2}
    made_by_lead = env.get(f"accounts/$count?$filter=_originatingleadid_value eq {lead}").text
    qualified = sum(call.kind == "QualifyLead" and call.status == 200 for call in env.world.calls)
    assert int(made_by_lead) == qualified
