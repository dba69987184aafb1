"""The two orders in which results are handed out."""

from dataclasses import dataclass
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from ajobs._foreach.results import AsCompleted, InOrder, Results


@dataclass
class Item:
    """An item that gives *values*, some of them before its end."""

    index: int
    values: list[int]
    given: int = 0
    is_single: bool = False

    def step(self, results: Results) -> bool:
        """Give the next value, or the end; False when it was over."""
        if self.is_single:
            results.only(self.index, self.values[0])
            return False

        if self.given == len(self.values):
            results.end(self.index)
            return False

        results.add(self.index, self.values[self.given])
        self.given += 1
        return True


items_lists = st.lists(
    st.tuples(st.lists(st.integers(), max_size=4), st.booleans()), max_size=12
).map(
    lambda rows: [
        Item(index, values, is_single=single and len(values) == 1)
        for index, (values, single) in enumerate(rows)
    ]
)


def play(results: Results, items: list[Item], data: st.DataObject) -> list[int]:
    """Let the items take steps in any order; return the values in the order of giving."""
    came: list[int] = []
    at_work = list(items)
    while at_work:
        item = data.draw(st.sampled_from(at_work))
        if item.given < len(item.values):
            came.append(item.values[item.given])

        if not item.step(results):
            at_work.remove(item)

    return came


@given(items_lists, st.data())
def test_in_order(items: list[Item], data: st.DataObject) -> None:
    """However items take turns, their results leave in the order of the input."""
    results = InOrder()
    play(results, items, data)

    assert list(results.ready) == [value for item in items for value in item.values]


@given(items_lists, st.data())
def test_as_completed(items: list[Item], data: st.DataObject) -> None:
    """Results leave in the order in which they came."""
    results = AsCompleted()
    came = play(results, items, data)

    assert list(results.ready) == came


@given(items_lists, st.data())
def test_what_is_ready_in_order_is_a_prefix(items: list[Item], data: st.DataObject) -> None:
    """At no time is anything ready before what belongs in front of it."""
    expected = [value for item in items for value in item.values]
    results = InOrder()
    at_work = list(items)
    while at_work:
        item = data.draw(st.sampled_from(at_work))
        if not item.step(results):
            at_work.remove(item)

        assert list(results.ready) == expected[: len(results.ready)]


@given(st.lists(st.integers(0, 9), max_size=50), st.data())
def test_batches_in_order(values: list[int], data: st.DataObject) -> None:
    """Batches that come in any order leave in the order of the input."""
    cuts = sorted(data.draw(st.lists(st.integers(0, len(values)), max_size=5)))
    edges = [0, *cuts, len(values)]
    batches = [(a, values[a:b]) for a, b in pairwise(edges)]
    results = InOrder()
    for first, batch in data.draw(st.permutations(batches)):
        results.several(first, batch)

    assert list(results.ready) == values


def test_the_next_one_goes_out_at_once() -> None:
    """Only the first item that has not ended gives straight to the consumer."""
    results = InOrder()
    results.add(1, "b")
    assert (results.is_next(0), results.is_next(1)) == (True, False)

    results.end(0)
    assert results.is_next(1)
    assert list(results.ready) == ["b"]
    assert AsCompleted().is_next(7)
