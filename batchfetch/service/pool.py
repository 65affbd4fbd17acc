"""
Connections that are open, kept between questions.

aiohttp makes them: names, addresses, certificates and proxies are its affair.
"""

import asyncio
from collections.abc import Callable

import aiohttp

from batchfetch.errors import ConnectionLostError
from batchfetch.service.channel import Channel

# Bytes of the buffers of all channels together, and of one.  The one is what a visit to a thread is
# worth: to wake it, and to be woken, can cost as much as decoding and writing a quarter of this.
_ALL_BUFFERS = 32 * 1024 * 1024
_LARGEST_BUFFER = 640 * 1024
_SMALLEST_BUFFER = 16 * 1024

# Seconds after which a connection not used is closed.  A waiting task is asked again sooner.
_KEPT_FOR = 60.0

# How often silence is looked for: so many times while it is borne with, and at least so often.
_LOOKS = 8
_LONGEST_LOOK = 1.0


class Pool:
    """
    Channels to one service, as many as there are questions at once.

    *request* makes what aiohttp wants to know to connect.  An answer is given up after *silence*
    seconds of it, or if it has not begun *deadline* seconds after the question; so is an attempt to
    connect that takes as long.
    """

    def __init__(
        self,
        connector: aiohttp.BaseConnector,
        request: Callable[[], aiohttp.ClientRequest],
        timeout: aiohttp.ClientTimeout,
        *,
        most: int,
        silence: float,
        deadline: float,
    ) -> None:
        self._connector = connector
        self._request = request
        self._timeout = timeout
        self._size = max(_SMALLEST_BUFFER, min(_LARGEST_BUFFER, _ALL_BUFFERS // most))
        self._silence = silence
        self._deadline = deadline
        self._loop = asyncio.get_running_loop()
        self._idle: list[tuple[Channel, float]] = []
        self._busy: set[Channel] = set()
        self._look: asyncio.TimerHandle | None = None
        self._look_for_silence()

    async def take(self) -> Channel:
        """
        Return a channel for one question; it must be given back.

        Raises what aiohttp raises when it cannot connect, and `ConnectionLostError`.
        """
        while self._idle:
            channel, _ = self._idle.pop()  # The last used: the others may be left to expire.
            if channel.is_reusable:
                self._busy.add(channel)
                return channel
            channel.close()
        # aiohttp's own time-outs see each step; only this one sees all of them.
        async with asyncio.timeout(self._deadline):
            connection = await self._connector.connect(self._request(), [], self._timeout)
        try:
            channel = Channel(connection, self._size)
        except ConnectionLostError:
            connection.close()
            raise
        self._busy.add(channel)
        return channel

    def give_back(self, channel: Channel) -> None:
        """
        Keep *channel* for the next question if there can be one, else close it.
        """
        self._busy.discard(channel)
        if channel.is_reusable:
            self._idle.append((channel, self._loop.time()))
        else:
            channel.close()

    def close(self) -> None:
        """
        Close all channels.
        """
        if self._look is not None:
            self._look.cancel()
        for channel in (*self._busy, *(channel for channel, _ in self._idle)):
            channel.close()

    def _look_for_silence(self) -> None:
        now = self._loop.time()
        for channel in [*self._busy]:
            channel.check(now, silence=self._silence, deadline=self._deadline)
        while self._idle and self._idle[0][1] < now - _KEPT_FOR:
            self._idle.pop(0)[0].close()
        self._look = self._loop.call_later(
            min(self._silence / _LOOKS, _LONGEST_LOOK), self._look_for_silence
        )
