"""
Object stores on loopback: moto, which knows conditional writes, and rclone, which does not.
"""

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import boto3
from botocore.config import Config
from command import environment, wait_until

BUCKET = "scans"
KEYS = {
    "AWS_ACCESS_KEY_ID": "an-access-key",
    "AWS_SECRET_ACCESS_KEY": "a-secret-of-the-store",
    "AWS_REGION": "us-east-1",
    "AWS_ALLOW_HTTP": "true",
    # A test does not talk to the cloud's own address for credentials.
    "AWS_EC2_METADATA_DISABLED": "true",
}


class Store:
    """
    A store at *url* with one bucket, and a client that shows what is in it.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.client: Any = boto3.client(
            "s3",
            endpoint_url=url,
            region_name=KEYS["AWS_REGION"],
            aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
            config=Config(retries={"max_attempts": 2}, s3={"addressing_style": "path"}),
        )

    @property
    def variables(self) -> dict[str, str]:
        """
        What a command's environment needs to find the store.
        """
        return {**KEYS, "AWS_ENDPOINT_URL": self.url}

    def environment(self, **more: str) -> dict[str, str]:
        """
        Return the environment of a command that uses the store.
        """
        return environment(**{**self.variables, **more})

    def keys(self, prefix: str = "") -> list[str]:
        """
        Return the keys below *prefix*, by the rest of them, without what runs keep for themselves.
        """
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        keys = [each["Key"] for page in pages for each in page.get("Contents", ())]
        return sorted(key[len(prefix) :] for key in keys if "/.batchfetch/" not in f"/{key}")

    def own(self, prefix: str = "") -> list[str]:
        """
        Return the keys of what runs keep for themselves below *prefix*.
        """
        found = self.client.list_objects_v2(Bucket=BUCKET, Prefix=f"{prefix}.batchfetch/")
        return sorted(each["Key"][len(prefix) :] for each in found.get("Contents", ()))

    def get(self, key: str) -> bytes:
        """
        Return the object at *key*.
        """
        return self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read()

    def head(self, key: str) -> dict[str, Any]:
        """
        Return what the store says of the object at *key*.
        """
        return self.client.head_object(Bucket=BUCKET, Key=key)

    def put(self, key: str, data: bytes, **labels: str) -> None:
        """
        Put *data* at *key*.
        """
        self.client.put_object(Bucket=BUCKET, Key=key, Body=data, Metadata=labels)

    def images(self, prefix: str = "") -> dict[str, bytes]:
        """
        Return the objects below *prefix*, by their names without the suffix.
        """
        return {key.removesuffix(".png"): self.get(prefix + key) for key in self.keys(prefix)}

    def pending(self) -> list[str]:
        """
        Return the keys of the uploads that were begun and neither completed nor aborted.
        """
        try:
            found = self.client.list_multipart_uploads(Bucket=BUCKET)
        except self.client.exceptions.NoSuchUpload:
            return []  # rclone, before the first.
        return [each["Key"] for each in found.get("Uploads", ())]


@contextmanager
def _server(*command: str) -> Iterator[Store]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with subprocess.Popen(
        [*command, str(port)] if command[-1] == "-p" else [*command, f"--addr=127.0.0.1:{port}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as server:
        try:
            store = Store(f"http://127.0.0.1:{port}")
            wait_until(lambda: _answers(store.url))
            store.client.create_bucket(Bucket=BUCKET)
            yield store
        finally:
            store.client.close()
            server.terminate()


def _answers(url: str) -> bool:
    try:
        urlopen(url, timeout=5).close()
    except URLError as exc:
        return hasattr(exc, "code") and not exc.close()
    except OSError:
        return False
    return True


@contextmanager
def moto() -> Iterator[Store]:
    """
    Serve S3 out of memory; conditional writes are obeyed.
    """
    script = Path(sys.executable).with_name("moto_server")
    with _server(str(script), "-H", "127.0.0.1", "-p") as store:
        yield store


@contextmanager
def rclone(folder: Path) -> Iterator[Store]:
    """
    Serve S3 out of *folder*; conditional writes are taken for plain ones.
    """
    script = Path(sys.executable).with_name("rclone")
    keys = f"{KEYS['AWS_ACCESS_KEY_ID']},{KEYS['AWS_SECRET_ACCESS_KEY']}"
    command = (str(script), "serve", "s3", str(folder), f"--auth-key={keys}", "--config=")
    with _server(*command) as store:
        yield store
