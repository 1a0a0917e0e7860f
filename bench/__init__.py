"""Benchmarks: what a stage takes beside what nothing could do without, in one run on one machine."""
