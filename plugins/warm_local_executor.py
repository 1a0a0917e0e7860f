"""The executor of ``make run``, ``make ui`` and ``make backfill``: it imports once what nearly every task imports.

No plugin: Airflow finds it here by the name in its setting ``[core] executor``.
"""

from __future__ import annotations

from airflow.executors.local_executor import LocalExecutor


class WarmLocalExecutor(LocalExecutor):
    """Airflow's LocalExecutor, whose processes are forked from one that has the heavy libraries already."""

    def start(self) -> None:
        """Import, then fork. Importing starts no thread of them, and opens nothing."""
        if self.is_mp_using_fork:
            import duckdb  # noqa: F401
            import pyarrow.parquet  # noqa: F401

            import include.quality.expectations  # noqa: F401 brings pandas and Great Expectations
        super().start()
