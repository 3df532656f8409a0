"""A loopback proxy that answers late, as a storage does that is some way off.

`python -m benchmarks.latency_proxy PORT TARGET_PORT MILLISECONDS`

The first bytes of each answer wait; what follows goes at full speed, and connections do not wait for each other.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress

_BLOCK_BYTES = 256 * 1024


class _Exchange:
    """One connection: whether an answer is still to begin."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._is_asked = False

    async def ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """From the client to the server."""
        while block := await reader.read(_BLOCK_BYTES):
            self._is_asked = True
            writer.write(block)
            await writer.drain()
        writer.close()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """From the server to the client."""
        while block := await reader.read(_BLOCK_BYTES):
            if self._is_asked:
                self._is_asked = False
                await asyncio.sleep(self._seconds)
            writer.write(block)
            await writer.drain()
        writer.close()


async def serve(port: int, target_port: int, seconds: float) -> None:
    """Serve until killed."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        exchange = _Exchange(seconds)
        with suppress(OSError):
            target_reader, target_writer = await asyncio.open_connection("127.0.0.1", target_port)
            ways = exchange.ask(reader, target_writer), exchange.answer(target_reader, writer)
            await asyncio.gather(*ways, return_exceptions=True)

    server = await asyncio.start_server(connected, "127.0.0.1", port)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]) / 1000))
