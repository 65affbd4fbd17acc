"""
Run batchfetch every night from Airflow, and again in half an hour where a limit was reached.
"""

from datetime import UTC, datetime, timedelta

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

START = datetime(2026, 1, 1, tzinfo=UTC)

with DAG("batchfetch", schedule="30 2 * * *", start_date=START, catchup=False):
    BashOperator(
        task_id="fetch",
        cwd="/srv/ocr",
        bash_command="batchfetch fetch manifest.csv --max-runtime 4h --log-level warning",
        append_env=True,  # The credentials are in the worker's environment.
        skip_on_exit_code=7,  # Another run is on, and does the work.
        retries=3,
        retry_delay=timedelta(minutes=30),
    )
