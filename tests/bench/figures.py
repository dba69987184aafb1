"""Measurements made up for tests of rules and of pictures."""

from __future__ import annotations

from ajobs._bench.measures import (
    PLAIN,
    LeftOut,
    Machine,
    Measurement,
    Span,
    Table,
    Verdict,
)
from ajobs._bench.report import BenchReport


def row(
    runner: str,
    throttle: int,
    rate: float,
    *,
    base: float = 100.0,
    cpu: float = 0.001,
    latency: float = 0.01,
    startup: float = 0.001,
    spans: tuple[Span, ...] = (),
) -> Measurement:
    """Return a measurement beside a plain loop that does *base* items in a second."""
    return Measurement(
        runner=runner,
        throttle=throttle,
        rate=rate,
        rates=(rate, rate),
        speedup=rate / base,
        latency=latency,
        latency_p95=2 * latency,
        cpu=cpu,
        memory=40_000_000,
        startup=startup,
        spans=spans,
    )


def report(
    function: str = "shop.resize", sentence: str = "Take a plain loop: it is as fast."
) -> BenchReport:
    """Return a report of two runners at two throttles, the third left out."""
    spans = tuple(Span(n, n // 2 * 10**7, n // 2 * 10**7 + 9 * 10**6, 7, n % 2) for n in range(8))
    rows = [
        row(runner, throttle, 100.0 * throttle, spans=spans)
        for runner in ("thread", "process")
        for throttle in (1, 4)
    ]
    table = Table(
        function=function,
        plain=row(PLAIN, 1, 100),
        rows=tuple(rows),
        left_out=(LeftOut("interpreter", None, "needs Python 3.13"),),
        verdict=Verdict("thread", 4, sentence),
        doubt=None,
        rounds=2,
        others=0.0,
    )
    return BenchReport((table,), Machine("1.0", "3.11.7", "Linux x86_64", 2, "asyncio"))
