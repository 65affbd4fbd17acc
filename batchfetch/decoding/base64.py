"""
Strict incremental base64 decoder.
"""

import binascii

import pybase64

from batchfetch.errors import MalformedBase64Error

_PADDING = ord("=")


class Base64Decoder:
    """
    Decodes base64 text, fed in pieces of any size, into bytes.

    Only the standard alphabet is accepted; blanks and line ends are errors.  Padding is required,
    and allowed at the end only (RFC 4648, sections 3.2, 3.3 and 4).
    """

    def __init__(self) -> None:
        # At most three characters: the start of an incomplete group of four.
        self._carry = b""
        self._finished = False

    def decode(self, text: bytes | memoryview) -> bytes:
        """
        Return the bytes of all groups of four characters that *text* completes.

        Raises `MalformedBase64Error` if the text is not valid base64.
        """
        if not self._carry and len(text) % 4 == 0:
            return self._decode(text)
        view = memoryview(text)
        head = b""
        if self._carry:
            # The group that was cut is decoded separately, so that the rest is not copied.
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

        Raises `MalformedBase64Error` if it ended inside a group of four characters.  That is not a
        truncated body: the JSON string around the text was complete.
        """
        if self._carry:
            raise MalformedBase64Error("the base64 text ends inside a group of four characters")

    def _decode(self, quanta: bytes | memoryview) -> bytes:
        if not quanta:
            return b""
        if self._finished:
            raise MalformedBase64Error("the base64 text continues after its padding")
        self._finished = quanta[-1] == _PADDING
        try:
            return pybase64.b64decode(quanta, validate=True)
        except binascii.Error as exc:
            raise MalformedBase64Error("the image data is not valid base64") from exc
