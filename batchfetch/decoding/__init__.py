"""
Incremental decoding of response bodies: JSON, base64 and PNG, without I/O.
"""

from batchfetch.decoding.endpoint import AnswerDecoder, Endpoint, endpoint_of
from batchfetch.decoding.envelope import RESPONSE_STATUS_CODES, RESULT_DATA_LOST
from batchfetch.decoding.image import ImageDecoder
from batchfetch.decoding.png import PngChecker
from batchfetch.decoding.response import FileDecoder, ResultDecoder

__all__ = [
    "RESPONSE_STATUS_CODES",
    "RESULT_DATA_LOST",
    "AnswerDecoder",
    "Endpoint",
    "FileDecoder",
    "ImageDecoder",
    "PngChecker",
    "ResultDecoder",
    "endpoint_of",
]
