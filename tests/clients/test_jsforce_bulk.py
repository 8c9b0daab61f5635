"""jsforce's two bulk interfaces in depth: every way to load, sweep and read rows, and its refusals."""

from pathlib import Path

from tests.clients.harness import drive_node, running


def test_jsforce_bulk_in_depth(tmp_path: Path) -> None:
    with running() as box:
        seen = drive_node(box, "jsforce-bulk.cjs", tmp_path)
    assert seen == {
        "loaded": [495, 5, 0],
        "error": "REQUIRED_FIELD_MISSING:Required fields are missing: [Company]:Company --",
        "found": [495, ["Id", "LastName", "Owner.Username"]],
        "changed": 3,
        "upserted": ["false", "true"],
        "bad": "API_ERROR",
        "wrong": "Ingest job failed to complete due to: InvalidBatch : Field name not found : Foo",
        "none": [0, 0, 0],
        "noneInOne": "ClientInputError",
        "all": 494,
        "swept": 494,
        "left": [],
        "aborted": "Aborted",
        "made": [[True, 0], [True, 0]],
        "records": ["A", "B"],
        "gone": [True, True],
        "badBatch": "InvalidBatch : Field name not found : Foo",
        "badQuery": "InvalidBatch : Failed to process query: INVALID_FIELD",
        "session": "InvalidSessionId",
    }
