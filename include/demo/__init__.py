"""The demo world: an invented source database to try everything on, the same rows for the same seed on any machine.

No row is drawn from a random sequence. Each value is a hash of the seed, of what it is for and of whom it is about
(:mod:`include.demo.draw`), in whole numbers only. So a row depends neither on the rows before it, nor on batch sizes,
nor on a library's version, and a million accounts are made five thousand at a time.
"""

from include.demo.block import World
from include.demo.world import DemoReport, fill_demo, generate

__all__ = ["DemoReport", "World", "fill_demo", "generate"]
