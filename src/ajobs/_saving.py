"""Saving the records of a job to a file as they come.

What a line of such a file looks like, and how a batch gets into it so that none is lost. This
file knows what can be read, not jobs.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Literal

import anyio
from anyio import CapacityLimiter

from ._log import Log, Streams
from ._reading import Readable, written
from ._records import Entry, Record

Write = Callable[[str], Any]

#: What cannot be encoded (lone surrogates) is written as an escape: a record is never lost.
ERRORS = "backslashreplace"


async def save(
    job: Readable,
    path: str | os.PathLike[str],
    streams: Streams,
    as_records: bool,
    form: str,
    append: bool,
) -> None:
    """Write the records of *job* to *path* as they come, in batches, until it has finished.

    It must not be broken off between taking records and writing them: see `run_apart`.
    """
    log = job.open_log()
    reader = _Saving()
    log.add_reader(reader)
    line_of = _json_line if form == "jsonl" else (_tagged_line if as_records else _text_line)
    async with _open_file(path, "a" if append else "w", job.loop.is_trio) as write:
        while True:
            has_ended = job.is_finished
            batch = log.take(streams)
            if batch:
                await _write_batch(log, batch, write, line_of)
                job.taken()
            elif has_ended:
                return
            else:
                await written(job, partial(log.has, streams))


class _Saving:
    """The claim of a `save` on the log, for as long as it runs."""


async def _write_batch(
    log: Log, batch: list[Entry], write: Write, line_of: Callable[[Entry], str]
) -> None:
    # Shielded: a write that was handed to a thread goes on there anyhow, so a cancellation
    # in its middle could only make the records be written twice or not at all.
    with anyio.CancelScope(shield=True):
        try:
            await write("".join([line_of(entry) for entry in batch]))
        except BaseException:
            log.put_back(batch)
            log.wake_readers()
            raise


def _text_line(entry: Entry) -> str:
    return f"{entry[3]}\n"


def _tagged_line(entry: Entry) -> str:
    return f"{entry[2].upper()}: {entry[3]}\n"


def _json_line(entry: Entry) -> str:
    import json  # loaded by those who save as JSON lines

    record = Record.of(entry)
    fields = {
        "seq": record.seq,
        "time": record.time.isoformat(),
        "stream": str(record.stream),
        "value": record.value,
    }
    return json.dumps(fields, ensure_ascii=False, default=repr) + "\n"


@asynccontextmanager
async def _open_file(
    path: str | os.PathLike[str], mode: Literal["a", "w"], is_trio: bool
) -> AsyncIterator[Write]:
    # A thread of its own on either loop: the loop's shared ones may all be taken by jobs.
    if is_trio:
        limiter = CapacityLimiter(1)
        opening: Any = anyio.open_file(path, mode, encoding="utf-8", errors=ERRORS, limiter=limiter)
        async with _closed_after(opening) as write:
            yield write
    else:
        # Loaded by those who save on asyncio.
        from concurrent.futures import ThreadPoolExecutor

        import aiofiles

        with ThreadPoolExecutor(1, "ajobs save") as executor:
            opening = aiofiles.open(path, mode, encoding="utf-8", errors=ERRORS, executor=executor)
            async with _closed_after(opening) as write:
                yield write


@asynccontextmanager
async def _closed_after(opening: Awaitable[Any]) -> AsyncIterator[Write]:
    # Shielded, since a thread goes on anyhow: it would open a file that nobody closes.
    with anyio.CancelScope(shield=True):
        file = await opening

    try:
        yield file.write
    finally:
        with anyio.CancelScope(shield=True):
            await file.aclose() if hasattr(file, "aclose") else await file.close()
