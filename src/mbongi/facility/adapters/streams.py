"""Ends asyncio's streams at once, so that nothing of an old answer is read again."""

import asyncio

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def end(stream: Stream | None) -> None:
    """Break the connection; returns after the loop has let go of it."""
    if stream is not None:
        stream[1].transport.abort()
        await asyncio.sleep(0)
