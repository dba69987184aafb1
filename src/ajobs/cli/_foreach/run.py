"""The plan of ``ajobs foreach``, carried out."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Iterator
from contextlib import aclosing
from dataclasses import dataclass, replace
from time import perf_counter

import anyio
from anyio import CancelScope

from ... import Session, show_progress, write_progress
from .._bars import check_word
from .._ends import Status
from .._writer import Piece, Writer, open_writer
from .ahead import Ahead
from .done import Done, Items, Task
from .halt import Halt
from .joblog import JobLog
from .output import Output
from .work import Work

__all__ = ("Plan", "carry_out", "carry_out_with_bar", "dry_run")

#: Seconds between two words on how far it is.
_TELL_SECONDS = 0.1


@dataclass(frozen=True)
class Plan:
    """What to do.

    Attributes:
        source: The items.
        skipped: The numbers of those that have run already.
        work: What is done for each.
        halt: When to give up.
        joblog: Where to note what has run.
        output: Where the output goes.
    """

    source: Items
    skipped: Collection[int]
    work: Work
    halt: Halt
    joblog: JobLog | None
    output: Output

    @property
    def total(self) -> int | None:
        """How many items are to run, where that is known."""
        total = self.source.total
        return None if total is None else max(total - len(self.skipped), 0)

    async def tasks(self) -> AsyncGenerator[Task, None]:
        """Yield the items that are to run, with their numbers."""
        seq = 0
        async with aclosing(self.source.items()) as items:
            async for item in items:
                seq += 1
                if seq not in self.skipped:
                    yield Task(seq, item)


class _Course:
    """How it goes: what has been counted, and whether to give up."""

    def __init__(self, plan: Plan, writer: Writer) -> None:
        self._plan = plan
        self.writer = writer
        self._pieces: Iterator[Piece] = iter(())
        self._begin = perf_counter()
        self.failed = 0
        self.succeeded = 0
        self.first: Done | None = None
        self.is_halted = False
        self.killing = CancelScope()
        self._unshown: dict[int, Done] = {}

    def note(self, done: Done) -> None:
        """Count an item that has ended, in the moment when it has."""
        plan = self._plan
        if done.succeeded:
            self.succeeded += 1
        else:
            self.failed += 1
            self.first = self.first or done

        self._unshown[done.task.seq] = done
        if plan.joblog is not None:
            plan.joblog.add(done)

        if not self.is_halted and plan.halt.applies(self.failed, self.succeeded):
            self.is_halted = True
            if plan.halt.kills:
                self.killing.cancel()

    async def show(self, done: Done) -> None:
        """Print what has come of an item."""
        del self._unshown[done.task.seq]
        self._pieces = self._plan.output.of(done)
        await self.writer.write(self._pieces)

    async def show_rest(self) -> None:
        """Print what was noted, and would be lost: the log says that it need not run again."""
        await self.writer.write(self._pieces)  # where it was broken off
        for done in list(self._unshown.values()):
            await self.show(done)

    async def say(self, text: str) -> None:
        """Tell the user something."""
        await self.writer.write([self._plan.output.word(text)])

    @property
    def done(self) -> int:
        """How many items have ended."""
        return self.failed + self.succeeded

    @property
    def seconds(self) -> float:
        """How long it has taken by now."""
        return perf_counter() - self._begin

    @property
    def status(self) -> int:
        """The exit status."""
        return Status.FAILURE if self.failed else Status.SUCCESS

    async def tell(self, is_over: anyio.Event) -> None:
        """Write how far it is, now and then, as the progress of the job that this is."""
        while not is_over.is_set():
            total = self._plan.total
            words = [f"{self.failed:,} failed"] if self.failed else []
            if total is None:
                words.append(f"{self.done / self.seconds:,.1f} a second")

            write_progress("", ", ".join(words), completed=self.done, total=total)
            with anyio.move_on_after(_TELL_SECONDS):
                await is_over.wait()

    async def tasks(self) -> AsyncGenerator[Task, None]:
        """Yield what is to run, until it is time to give up."""
        async with aclosing(self._plan.tasks()) as tasks:
            async for task in tasks:
                if self.is_halted:
                    return

                yield task


async def carry_out(plan: Plan) -> int:
    """Work on every item; return the exit status."""
    async with open_writer() as writer:
        course = _Course(plan, writer)
        await _work(plan, course)
        await _summarize(plan, course)

    return course.status


async def carry_out_with_bar(plan: Plan) -> int:
    """Do the same beside a job that tells how far it is."""
    check_word()
    ahead = Ahead(plan.source)
    plan = replace(plan, source=ahead)
    async with open_writer() as writer:
        course = _Course(plan, writer)
        await _work_with_bar(plan, course, ahead)
        if not course.failed:
            await course.say(f"{course.done:,} done in {course.seconds:,.1f} s")

        await _summarize(plan, course)

    return course.status


async def dry_run(plan: Plan) -> int:
    """Print what would be run for each item."""
    async with open_writer() as writer:
        async for task in plan.tasks():
            await writer.write([plan.output.line(plan.work.show(task))])

    return Status.SUCCESS


async def _work_with_bar(plan: Plan, course: _Course, ahead: Ahead) -> None:
    is_over = anyio.Event()
    async with Session("foreach", failures="keep") as jobs:
        reader = jobs.start(ahead.read)
        teller = jobs.start(course.tell, is_over, name="foreach")
        async for _ in teller.follow():
            break  # there is something to show

        async with show_progress(teller):
            await _work(plan, course)
            await course.writer.flush()  # beside the bar: only there each piece ends its line
            is_over.set()
            await reader.stop()


async def _work(plan: Plan, course: _Course) -> None:
    try:
        with course.killing:
            async with plan.work.over(course.tasks(), course) as results:
                async for done in results:
                    if done is not None:
                        await course.show(done)
    except anyio.get_cancelled_exc_class():
        with course.writer.last_moment():
            await course.show_rest()

        raise

    await course.show_rest()


async def _summarize(plan: Plan, course: _Course) -> None:
    """Say what went wrong."""
    if course.is_halted:
        await course.say(f"gave up with {course.done} done, as --halt says")

    if course.first is not None:
        first = course.first
        log = "" if plan.joblog else "--joblog FILE, and later "
        await course.say(
            f"{course.failed} of {course.done} failed, the first was item "
            f"{first.task.seq} ({first.command}): {first.how}\n"
            f"Run those again with {log}--resume-failed."
        )
