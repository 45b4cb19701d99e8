"""Connections that strangers cannot use up: who sends no request makes room for who does."""

from __future__ import annotations

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 10.0  # within which a request's address and headers must be there
MOST_CONNECTIONS = 128  # a browser opens six; many systems allow a program 256 files


class Connection(H11Protocol):  # type: ignore[misc]  # of no type where the extra is not there
    """One connection, which is closed when it is of no use.

    It is when a request's head does not come in time, however slowly its bytes arrive, and when
    there are too many, of those that wait for no reply the one that was opened first.
    """

    _late: asyncio.TimerHandle | None = None
    _opened = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Begin to wait for a request, and make room for it."""
        super().connection_made(transport)
        self._opened = self.loop.time()
        self._watch()
        if len(self.connections) > MOST_CONNECTIONS:
            idle = [each for each in self.connections if isinstance(each, Connection) and each.idle]
            min(idle, key=lambda each: each._opened).close()

    def data_received(self, data: bytes) -> None:
        """Go on with a request."""
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing more."""
        self._forget()
        super().connection_lost(exc)

    @property
    def idle(self) -> bool:
        """Whether nothing is being answered."""
        return bool(self.cycle is None or self.cycle.response_complete)

    def close(self) -> None:
        """Close at once; whoever meant well asks anew."""
        self.connections.discard(self)
        self.transport.abort()

    def _watch(self) -> None:
        if self.conn.their_state is not h11.IDLE:
            self._forget()
        elif self._late is None:
            self._late = self.loop.call_later(HEAD_SECONDS, self.close)

    def _forget(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None
