"""
The bare images with parfive.

Usage: parfive_files.py BASE_URL IDS OUTPUT CONCURRENCY
"""

import sys
from pathlib import Path

from parfive import Downloader, SessionConfig

PATH = "/v5.0/ocr/ImageProcessing/GetResultFile"


def main(base_url: str, ids: str, output: str, concurrency: int) -> None:
    """
    Fetch every task named in *ids*.
    """
    headers = {"Authorization": "Bearer x"}
    downloader = Downloader(
        max_conn=concurrency, max_splits=1, progress=False, config=SessionConfig(headers=headers)
    )
    for task_id in Path(ids).read_text().split():
        url = f"{base_url}{PATH}?id={task_id}"
        downloader.enqueue_file(url, path=output, filename=f"{task_id}.png")
    if errors := downloader.download().errors:
        sys.exit(f"{len(errors)} files failed, the first with {errors[0].exception!r}")


if __name__ == "__main__":
    main(*sys.argv[1:4], int(sys.argv[4]))
