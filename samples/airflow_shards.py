"""
Run the eight parts of a night from Airflow, one task each: a part that fails is tried again alone.
"""

from datetime import UTC, datetime, timedelta

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

START = datetime(2026, 1, 1, tzinfo=UTC)
SHARDS = 8

with DAG("batchfetch_shards", schedule="30 2 * * *", start_date=START, catchup=False):
    BashOperator.partial(
        task_id="fetch",
        cwd="/srv/ocr",
        bash_command="batchfetch fetch manifest.csv --rate 50/s --max-calls 200000",
        append_env=True,  # The credentials are in the worker's environment.
        skip_on_exit_code=[4, 7],  # The calls are spent; another run is on, and does the work.
        retries=3,
        retry_delay=timedelta(minutes=30),
    ).expand(env=[{"BATCHFETCH_SHARD": f"{index + 1}/{SHARDS}"} for index in range(SHARDS)])
