"""`ajobs.bench`: thread or process? Measured for the function of the one who asks.

It stands on the public names alone: what it measures is what everybody can call.
"""

from .report import BenchReport
from .run import bench

__all__ = ("BenchReport", "bench")
