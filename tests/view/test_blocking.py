"""Jobs of `ajobs.blocking` are seen as all jobs are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import ajobs
from ajobs import blocking
from tests.support import fail, give
from tests.view.test_live import no_terminal
from tests.view.test_seeing import by_rich


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_seen_alike(
    backend: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Sessions, jobs and lists of them are shown, watched and traced; a failure stays unseen."""

    def look() -> None:
        with blocking.Session("sync", backend=backend) as jobs:  # type: ignore[arg-type]
            jobs.start(give, 1, name="good")
            bad = jobs.start(fail, ValueError("disk full"), name="bad")
            err = no_terminal(monkeypatch)
            jobs.watch()
            assert "good: Completed" in err.getvalue()
            views: list[Any] = [jobs, jobs.get(), bad]
            for what in views:
                for text in (str(what), by_rich(what), what._repr_html_()):
                    assert "Command" in text
                    assert "disk full" in text

            assert repr(jobs.get()) == str(jobs.get())
            assert jobs.get(name="x*") == []
            jobs.trace(tmp_path / "run.json")

    with pytest.raises(ExceptionGroup, match="nobody looked"):
        look()

    events = json.loads((tmp_path / "run.json").read_text())["traceEvents"]
    assert [event["name"] for event in events if event["ph"] == "X"] == ["good", "bad"]


def test_seen_in_a_closed_session() -> None:
    """They can be shown when the loop is gone."""
    with blocking.Session() as jobs:
        job = jobs.start(give, 1)

    assert "Completed" in str(job)
    assert "Completed" in str(jobs)
    assert job.state is ajobs.JobState.COMPLETED
