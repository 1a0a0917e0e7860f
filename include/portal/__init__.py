"""The portal: pages for staff beside Airflow's own, about months, plans, accounts, quarantine, messages and trends.

A FastAPI app that knows nothing of Airflow: who looks, what that person may do and what Airflow says of its runs is
handed in (:mod:`include.portal.staff`); ``plugins/carm_portal.py`` hangs it into Airflow's api-server.
"""
