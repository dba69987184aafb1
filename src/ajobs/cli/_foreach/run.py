"""The plan of ``ajobs foreach``, carried out."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection
from contextlib import aclosing
from dataclasses import dataclass

import anyio
from anyio import CancelScope

from .._ends import Status
from .bar import Bar
from .done import Done, Task
from .halt import Halt
from .items import Source
from .joblog import JobLog
from .output import Output
from .work import Work

__all__ = ("Plan", "carry_out")


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
        bar: What shows how far it is.
    """

    source: Source
    skipped: Collection[int]
    work: Work
    halt: Halt
    joblog: JobLog | None
    output: Output
    bar: Bar | None

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

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
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

        if plan.bar is not None:
            plan.bar.add(failed=not done.succeeded)

        if not self.is_halted and plan.halt.applies(self.failed, self.succeeded):
            self.is_halted = True
            if plan.halt.kills:
                self.killing.cancel()

    def show(self, done: Done) -> None:
        """Print what has come of an item."""
        del self._unshown[done.task.seq]
        self._plan.output.show(done)

    def show_rest(self) -> None:
        """Print what was noted, and would be lost: the log says that it need not run again."""
        for done in list(self._unshown.values()):
            self.show(done)

    async def tasks(self) -> AsyncGenerator[Task, None]:
        """Yield what is to run, until it is time to give up."""
        async with aclosing(self._plan.tasks()) as tasks:
            async for task in tasks:
                if self.is_halted:
                    return

                yield task


async def carry_out(plan: Plan) -> int:
    """Work on every item; return the exit status."""
    course = _Course(plan)
    if plan.bar is None:
        await _work(plan, course)
    else:
        await _work_with_bar(plan, course, plan.bar)

    _summarize(plan, course)
    return Status.FAILURE if course.failed else Status.SUCCESS


async def _work(plan: Plan, course: _Course) -> None:
    try:
        with course.killing:
            async with plan.work.over(course.tasks(), course) as results:
                async for done in results:
                    if done is not None:
                        course.show(done)
    except anyio.get_cancelled_exc_class():
        course.show_rest()
        raise

    course.show_rest()


async def _work_with_bar(plan: Plan, course: _Course, bar: Bar) -> None:
    failure: Exception | None = None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bar.run)
        try:
            await _work(plan, course)
        except Exception as exc:  # noqa: BLE001  # goes on below, outside of the group
            failure = exc
        finally:
            bar.clear()

        tasks.cancel_scope.cancel()

    if failure is not None:
        raise failure

    bar.draw(last=True)


def _summarize(plan: Plan, course: _Course) -> None:
    if course.is_halted:
        plan.output.say(f"gave up with {course.failed + course.succeeded} done, as --halt says")

    if course.first is not None:
        first = course.first
        log = "" if plan.joblog else "--joblog FILE, and later "
        plan.output.say(
            f"{course.failed} of {course.failed + course.succeeded} failed, the first was item "
            f"{first.task.seq} ({first.command}): {first.how}\n"
            f"Run those again with {log}--resume-failed."
        )
