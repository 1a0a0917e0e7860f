"""A whole Airflow on one machine, started for one purpose and stopped afterwards: what ``make run``, ``make ui`` and
``make backfill`` call (``python -m include.local_airflow run|ui|backfill``).

It starts Airflow's own processes (api-server, scheduler, dag-processor) and speaks to them over REST; it never imports
Airflow. Everything it leaves behind lies below the data folder.
"""
