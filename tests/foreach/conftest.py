"""Every kind of item in every place, so that one test speaks for all of them."""

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from ajobs._foreach import Foreach, parallel_foreach


@dataclass(frozen=True)
class Place:
    """A runner, and whether functions come to it as async ones."""

    runner: str
    is_async: bool

    def adapt(self, fn: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """Return *fn*, a plain function or generator, in the form that belongs here."""
        if not self.is_async:
            return fn

        if inspect.isgeneratorfunction(fn):

            @functools.wraps(fn)
            async def generate(item: Any) -> Any:
                for value in fn(item):
                    yield value

            return generate

        @functools.wraps(fn)
        async def call(item: Any) -> Any:
            return fn(item)

        return call

    def foreach(self, iterable: Any, fn: Callable[[Any], Any], /, **options: Any) -> Foreach[Any]:
        """Call `parallel_foreach` here."""
        return parallel_foreach(iterable, self.adapt(fn), runner=self.runner, **options)


PLACES = {
    "tasks": Place("task", is_async=True),
    "threads": Place("thread", is_async=False),
    "async-in-threads": Place("thread", is_async=True),
}


@pytest.fixture(params=list(PLACES))
def place(request: pytest.FixtureRequest) -> Place:
    """Every place in turn."""
    return PLACES[request.param]


async def collect(results: Foreach[Any], most: int | None = None) -> list[Any]:
    """Enter *results* and take all of them, or the first *most*."""
    taken: list[Any] = []
    async with results:
        async for value in results:
            taken.append(value)
            if len(taken) == most:
                break

    return taken
