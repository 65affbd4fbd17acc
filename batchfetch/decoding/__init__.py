"""
Bytes in, meaning out: no I/O and no await.
"""

from batchfetch.decoding.endpoint import AnswerDecoder, Endpoint, endpoint_of
from batchfetch.decoding.envelope import RESULT_DATA_LOST
from batchfetch.decoding.image import ImageDecoder
from batchfetch.decoding.png import PngChecker
from batchfetch.decoding.response import FileDecoder, ResultDecoder

__all__ = [
    "RESULT_DATA_LOST",
    "AnswerDecoder",
    "Endpoint",
    "FileDecoder",
    "ImageDecoder",
    "PngChecker",
    "ResultDecoder",
    "endpoint_of",
]
