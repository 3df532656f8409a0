from __future__ import annotations

import pytest

from engine.errors import StatusTransitionError
from engine.status import TRANSITIONS, Phase, Status, check_transition

ALLOWED = {
    ("queued", "running"),
    ("queued", "failed"),
    ("queued", "cancelled"),
    ("running", "succeeded"),
    ("running", "failed"),
    ("running", "cancelled"),
    ("failed", "running"),
}


def test_the_names_are_those_of_the_usage_guide() -> None:
    assert [str(status) for status in Status] == ["queued", "running", "succeeded", "failed", "cancelled"]
    assert [str(phase) for phase in Phase] == ["scanning", "processing", "cancelling", "failing", "merging"]


@pytest.mark.parametrize("old", Status)
@pytest.mark.parametrize("new", Status)
def test_only_the_moves_of_the_table_pass(old: Status, new: Status) -> None:
    if old is new or (old, new) in ALLOWED:
        check_transition("j1", old, new)
        return
    with pytest.raises(StatusTransitionError) as caught:
        check_transition("j1", old, new)
    assert (caught.value.job_id, caught.value.old, caught.value.new) == ("j1", str(old), str(new))


def test_every_move_names_its_cause() -> None:
    assert {(str(old), str(new)) for old, new in TRANSITIONS} == ALLOWED
    assert all(TRANSITIONS.values())


def test_a_final_status_is_left_only_by_resuming_a_failed_job() -> None:
    assert [status for status in Status if status.is_final] == [Status.SUCCEEDED, Status.FAILED, Status.CANCELLED]
    assert [move for move in TRANSITIONS if move[0].is_final] == [(Status.FAILED, Status.RUNNING)]
