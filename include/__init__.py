"""The pipeline without Airflow: steps, SQL, policy and, in ``include.carm``, the domain."""
