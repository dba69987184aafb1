"""When ajobs itself breaks, nobody waits for ever."""

from __future__ import annotations

import logging
from typing import Any

import pytest

import ajobs
from tests.support import give


async def test_a_bug_of_ours_fails_the_job(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """C2: a job that cannot be ended as the rules say fails, wakes its waiters and is logged."""

    def broken(self: Any, *outcome: Any) -> None:
        raise RuntimeError("a bug")

    async with ajobs.Session() as jobs:
        with monkeypatch.context() as patch:
            patch.setattr(ajobs.Job, "finish", broken)
            job = jobs.start(give, 1)
            with pytest.raises(RuntimeError, match="a bug"):
                await job

        assert "Failed" == job.state
        assert 2 == await jobs.start(give, 2)

    assert [logging.CRITICAL] == [record.levelno for record in caplog.records]
