"""Found blocks: out to every node at once, kept on the disk, and handed over again until a node has them."""

import asyncio
import contextlib
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, Final

from mbongi.base.log import get_log
from mbongi.pool.errors import NodeError, NodeRefused
from mbongi.pool.ports import Node
from mbongi.pool.rules.job import Job
from mbongi.wire.bitcoin.hashing import display, sha256d
from mbongi.wire.bitcoin.header import HEADER_BYTES

log = get_log(__name__)

RETRY_S: Final = 2.0
CONFIRMATIONS: Final = 6
"""A block so deep is taken for settled, and its file is removed."""
KEPT_MAX: Final = 200
"""Files of blocks, at most; a pool that finds more in an hour mines on a practice chain, and the oldest go."""
_SUFFIX: Final = ".block"


class Blocks:
    """The blocks of one process. ``handed_over`` and its kin are for the event loop that runs ``run``."""

    def __init__(self, folder: Path, nodes: Sequence[Node]) -> None:
        self._folder, self._nodes = folder, nodes
        self._tasks: set[asyncio.Task[None]] = set()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def found(self, job: Job, header: bytes, extranonce: bytes, worker: str) -> str:
        """Send a block to every node, then keep it; returns its hash as people write it."""
        block_hex, name = job.block_hex(header, extranonce), display(sha256d(header))
        for node in self._nodes:
            self._start(self._submit(node, name, block_hex))
        self._start(asyncio.to_thread(self._keep, name, block_hex))
        log.info("block_found", hash=name, height=job.template.height, worker=worker, value_sat=job.template.value_sat)
        return name

    async def run(self) -> None:
        """Hand over again what no node has, and follow the others until they are settled or orphaned."""
        while True:
            for path in self._files():
                await self._look_after(path)
            await asyncio.sleep(RETRY_S)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _submit(self, node: Node, name: str, block_hex: Sequence[bytes]) -> None:
        try:
            reason = await node.submit(block_hex)
        except NodeError as error:
            log.warning("block_not_handed_over", hash=name, node=node.name, error=str(error))
            return
        if reason is None:
            log.info("block_taken", hash=name, node=node.name)
        else:
            log.error("block_refused", hash=name, node=node.name, reason=reason)

    async def _look_after(self, path: Path) -> None:
        """One block: submit it where the node does not know it, remove it once its fate is certain."""
        for node in self._nodes:
            try:
                header = await node.header(path.stem)
                depth = (await node.info()).blocks - header.height + 1
            except NodeRefused:  # the node does not know it
                with contextlib.suppress(OSError):
                    await self._submit(node, path.stem, [await asyncio.to_thread(path.read_bytes)])
                continue
            except NodeError:
                continue
            if depth >= CONFIRMATIONS:
                # Nodes state -1 for a block that is not in their best chain.
                fate = "block_settled" if header.confirmations >= CONFIRMATIONS else "block_orphaned"
                log.info(fate, hash=path.stem, height=header.height, node=node.name)
                self._forget(path)
                return

    def _forget(self, path: Path) -> None:
        path.unlink(missing_ok=True)

    def _keep(self, name: str, block_hex: Sequence[bytes]) -> None:
        draft, path = self._folder / f".{name}", self._folder / f"{name}{_SUFFIX}"
        try:
            draft.write_bytes(b"".join(block_hex))
            draft.replace(path)
        except OSError as error:
            log.error("block_not_kept", hash=name, error=error.strerror)  # noqa: TRY400
        for old in self._files()[:-KEPT_MAX]:
            self._forget(old)

    def _files(self) -> list[Path]:
        """Oldest first; what is too short to be a block is left alone."""
        found = [path for path in self._folder.glob(f"*{_SUFFIX}") if path.stat().st_size >= 2 * HEADER_BYTES]
        return sorted(found, key=lambda path: path.stat().st_mtime)
