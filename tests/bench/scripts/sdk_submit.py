"""
The vendor's SDK in a pool of threads, submitting.

Usage: sdk_submit.py BASE_URL FOLDER OUTPUT CONCURRENCY
"""

import base64
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from aspose_ocr_cloud import ApiClient, Configuration, DeskewImageApi, OCRDeskewImageBody


def main(base_url: str, folder: str, output: str, concurrency: int) -> None:
    """
    Submit every image in *folder*, and write their task ids to *output*.
    """
    configuration = Configuration(host=base_url, access_token="x")
    configuration.connection_pool_maxsize = concurrency
    api = DeskewImageApi(ApiClient(configuration))

    def submit(path: Path) -> str:
        image = base64.b64encode(path.read_bytes()).decode()
        return str(api.post_deskew_image(OCRDeskewImageBody(image=image)))

    with ThreadPoolExecutor(concurrency) as pool:
        ids = pool.map(submit, sorted(Path(folder).iterdir()))
        Path(output).write_text("".join(f"{task_id}\n" for task_id in ids))


if __name__ == "__main__":
    main(*sys.argv[1:4], int(sys.argv[4]))
