"""The small form of `scripts/chaos`: the whole stack, shot at in a way that its seed decides."""

from __future__ import annotations

import pytest

from tests.chaos.__main__ import main


@pytest.mark.timeout(400)
def test_nothing_is_lost_or_doubled_while_the_stack_is_shot_at(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--rows", "5000", "--chunk-size", "250", "--kills", "5", "--broker-wipes", "1", "--seed", "3"]
    code = main([*arguments, "--workers", "1", "--lease-seconds", "3", "--timeout-minutes", "5"])
    told = capsys.readouterr().out
    print(told)
    assert code == 0, told
    assert "lost 0, duplicated 0, violations 0" in told
    assert "1  FLUSHALL" in told
