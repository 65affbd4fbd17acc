"""
A condition that many wait for and look at again after each change.
"""

import anyio


class Condition:
    """
    Wakes all that wait, whatever has changed.
    """

    def __init__(self) -> None:
        self._changed = anyio.Event()

    def notify(self) -> None:
        """
        Wake all that wait now.
        """
        self._changed.set()
        self._changed = anyio.Event()

    async def next(self) -> None:
        """
        Wait for the next call of `notify`.
        """
        await self._changed.wait()
