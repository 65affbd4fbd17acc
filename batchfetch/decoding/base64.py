"""
Base64 text in pieces → bytes.
"""

import binascii

import pybase64

from batchfetch.errors import MalformedBase64Error

_PADDING = ord("=")


class Base64Decoder:
    """
    Turn base64 text, fed in pieces of any size, into bytes, strictly.

    Whatever is not the standard alphabet is refused, blanks and line ends included.
    Padding is required, and allowed at the very end only (RFC 4648, sections 3.2, 3.3 and 4).
    """

    def __init__(self) -> None:
        # At most three characters: the start of a quantum still being fed.
        self._carry = b""
        self._finished = False

    def decode(self, text: bytes | memoryview) -> bytes:
        """
        Return the bytes that *text* completes.

        Raises `MalformedBase64Error`.
        """
        if not self._carry and len(text) % 4 == 0:
            return self._decode(text)
        view = memoryview(text)
        head = b""
        if self._carry:
            # The quantum that was cut is decoded by itself, to spare the rest a copy.
            missing = 4 - len(self._carry)
            self._carry += view[:missing]
            view = view[missing:]
            if len(self._carry) < 4:
                return b""
            head, self._carry = self._decode(self._carry), b""
        whole = len(view) - len(view) % 4
        body = self._decode(view[:whole])
        self._carry = bytes(view[whole:])
        return head + body if head else body

    def flush(self) -> None:
        """
        Declare the end of the text.

        Raises `MalformedBase64Error` if it ended inside a quantum: the string around it was
        complete, so nothing was lost on the way.
        """
        if self._carry:
            raise MalformedBase64Error("the base64 ends inside a quantum")

    def _decode(self, quanta: bytes | memoryview) -> bytes:
        if not quanta:
            return b""
        if self._finished:
            raise MalformedBase64Error("the base64 continues after its padding")
        self._finished = quanta[-1] == _PADDING
        try:
            return pybase64.b64decode(quanta, validate=True)
        except binascii.Error as exc:
            raise MalformedBase64Error("the image's text is not base64") from exc
