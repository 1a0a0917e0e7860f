"""The domain: periods, calendar, business numbers, money, policy. Pure: no clock, no database, no Airflow."""
