"""
The thirty lines of aiohttp most people write first.

Usage: plain_aiohttp.py BASE_URL IDS OUTPUT CONCURRENCY
"""

import asyncio
import base64
import sys
from pathlib import Path

import aiofiles
import aiohttp

PATH = "/v5.0/ocr/ImageProcessing/GetResultTask"


async def main(base_url: str, task_ids: list[str], output: str, concurrency: int) -> None:
    """
    Fetch every task of *task_ids*.
    """
    slots = asyncio.Semaphore(concurrency)

    async def fetch(task_id: str) -> None:
        async with slots, session.get(base_url + PATH, params={"id": task_id}) as response:
            response.raise_for_status()
            answer = await response.json()
            image = base64.b64decode(answer["results"][0]["data"])
            async with aiofiles.open(Path(output, f"{task_id}.png"), "wb") as file:
                await file.write(image)

    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=concurrency),
        headers={"Authorization": "Bearer x"},
    ) as session:
        await asyncio.gather(*map(fetch, task_ids))


if __name__ == "__main__":
    url, ids, folder, limit = sys.argv[1:]
    asyncio.run(main(url, Path(ids).read_text().split(), folder, int(limit)))
