"""The small form of `scripts/chaos`: the whole stack, shot at in a way that its seed decides."""

from __future__ import annotations

import pytest

from tests.chaos.__main__ import main


@pytest.mark.timeout(400)
def test_nothing_is_lost_or_doubled_while_the_stack_is_shot_at(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--rows", "100000", "--kills", "30", "--broker-wipes", "2", "--seed", "3", "--quick"]
    code = main([*arguments, "--lease-seconds", "3", "--timeout-minutes", "6"])
    told = capsys.readouterr().out
    print(told)
    assert code == 0, told
    assert "lost 0, duplicated 0, violations 0" in told
    assert "2  FLUSHALL" in told
