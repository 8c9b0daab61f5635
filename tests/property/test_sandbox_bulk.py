"""Whatever the Bulk APIs are sent, they answer: never a traceback, and no row is lost or saved twice."""

import csv
import json
from io import StringIO
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crmbridge.sandbox.salesforce.bulk_csv import DELIMITERS, ENDINGS, Dialect, opened, written
from tests.support.salesforce_bulk import load
from tests.support.salesforce_org import Bench, bench

ORG = bench()
CELLS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=12)
DIALECTS = st.builds(Dialect, delimiter=st.sampled_from(sorted(DELIMITERS)), ending=st.sampled_from(sorted(ENDINGS)))
IDS = st.sampled_from(["750LO0001000001YAA", "x", "", "751LO0001000001YAA"])
WORDS = st.sampled_from(
    "jobs ingest query batches results resultPages successfulResults job batch result request".split()
)
STATES = st.sampled_from(["UploadComplete", "Aborted", "Closed", "Open", "", "JobComplete"])
BODIES = st.one_of(
    st.binary(max_size=40),
    st.fixed_dictionaries(
        {},
        optional={
            "object": st.sampled_from(["Lead", "Contact", "lead", "Nothing", ""]),
            "operation": st.sampled_from(["insert", "upsert", "delete", "hardDelete", "query", "queryAll", "x"]),
            "contentType": st.sampled_from(["CSV", "JSON", "XML", "ZIP_CSV", "x"]),
            "externalIdFieldName": st.sampled_from(["Id", "Email", "City", "x"]),
            "query": st.sampled_from(["SELECT Id FROM Lead", "SELECT", "SELECT Id FROM Contact LIMIT 1", "x"]),
            "state": STATES,
            "columnDelimiter": st.sampled_from(["TAB", "x"]),
            "strange": st.integers(),
        },
    ).map(lambda given: json.dumps(given).encode()),
    st.sampled_from([b"LastName,Company\nx,y\n", b'"', b"Id\n\n", b"[{}]", b"<sObjects><sObject/></sObjects>", b"<a>"]),
)


@settings(max_examples=100, deadline=None)
@given(rows=st.lists(st.lists(CELLS, min_size=2, max_size=2), max_size=5), dialect=DIALECTS)
def test_what_is_written_is_read_again(rows: list[list[str]], dialect: Dialect) -> None:
    source = opened(written(("A", "B"), rows, dialect), dialect)
    found: list[list[str]] = []
    while more := source.take(2):  # a batch at a time
        found += more
    assert found == rows
    assert list(source.rows()) == rows


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_nothing_raises(data: st.DataObject) -> None:
    org: Bench = ORG
    for _ in range(4):
        classic = data.draw(st.booleans())
        root = "/services/async/60.0/job" if classic else "/services/data/v60.0/jobs"
        parts = data.draw(st.lists(st.one_of(WORDS, IDS), max_size=5))
        # What is drawn must not depend on the jobs that earlier examples have left, or no example can be repeated.
        of_a_job, nth = data.draw(st.booleans()), data.draw(st.integers(0, 99))
        kind, tail = data.draw(st.sampled_from(["ingest", "query"])), data.draw(st.lists(WORDS, max_size=1))
        jobs = [job.id for job in org.app._jobs._jobs.values()]
        if jobs and of_a_job:
            parts = [*(() if classic else (kind,)), jobs[nth % len(jobs)], *tail]
        kind = data.draw(
            st.sampled_from(["application/json", "text/csv", "application/xml", "multipart/form-data; boundary=x", "x"])
        )
        headers = {"content-type": kind, "x-sfdc-session": org.token}
        method = data.draw(st.sampled_from(["GET", "POST", "PATCH", "PUT", "DELETE", "HEAD"]))
        reply = org.send(method, "/".join([root, *parts]), data.draw(BODIES), headers)
        assert reply.status in (200, 201, 204, 400, 404, 405, 406, 409, 415, 501), reply


@settings(max_examples=30, deadline=None)
@given(names=st.lists(st.text("abc", max_size=3), max_size=30))
def test_every_row_has_one_outcome(names: list[str]) -> None:
    org = bench()
    ingest = load(org, [{"LastName": name, "Company": "C"} for name in names] or [{"LastName": "", "Company": ""}])
    info: dict[str, Any] = ingest.info()
    good, bad = ingest.rows("successfulResults"), ingest.rows("failedResults")
    assert info["numberRecordsProcessed"] == len(good) + len(bad) == max(len(names), 1)
    assert sorted(row["LastName"] for row in good) == sorted(name for name in names if name)
    assert org.query("SELECT COUNT() FROM Lead").body["totalSize"] == len(good)
    assert len({row["sf__Id"] for row in good}) == len(good)
    assert list(csv.reader(StringIO(ingest.results("unprocessedrecords").body.decode())))[1:] == []
