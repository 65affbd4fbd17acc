"""
The vendor's SDK in a pool of threads.

Usage: sdk_pool.py BASE_URL IDS OUTPUT CONCURRENCY
"""

import base64
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from aspose_ocr_cloud import ApiClient, Configuration, ImageProcessingApi


def main(base_url: str, ids: str, output: str, concurrency: int) -> None:
    """
    Fetch every task named in *ids*.
    """
    configuration = Configuration(host=base_url, access_token="x")
    configuration.connection_pool_maxsize = concurrency
    api = ImageProcessingApi(ApiClient(configuration))

    def fetch(task_id: str) -> None:
        answer = api.get_result_task(task_id)
        image = base64.b64decode(answer.results[0].data)
        Path(output, f"{task_id}.png").write_bytes(image)

    with ThreadPoolExecutor(concurrency) as pool:
        for _ in pool.map(fetch, Path(ids).read_text().split()):
            pass  # Asking for each result is what raises its exception.


if __name__ == "__main__":
    main(*sys.argv[1:4], int(sys.argv[4]))
