"""`parallel_foreach`: one function over many items, at most so many at once."""

from .call import Foreach, ForeachOptions, parallel_foreach
from .results import Outcome

__all__ = ("Foreach", "ForeachOptions", "Outcome", "parallel_foreach")
