"""What a ledger writes down of a plan is the plan."""

from __future__ import annotations

import json

from engine.ledger.records import plan_from_json, plan_json
from engine.model import Plan
from tests.ledger.builders import plan


def test_a_plan_comes_back_as_it_was() -> None:
    assert plan_from_json(plan_json(plan())) == plan()
    assert plan_from_json(None) is None


def test_a_plan_of_a_version_without_staged_tables_is_text() -> None:
    old = json.loads(plan_json(plan()))
    del old["form"], old["details"]
    expected = plan()
    assert plan_from_json(json.dumps(old)) == Plan(
        dialect=expected.dialect,
        header=expected.header,
        column_count=expected.column_count,
        data_start=expected.data_start,
        readable=expected.readable,
    )
