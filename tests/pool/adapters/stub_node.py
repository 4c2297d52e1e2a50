"""A stub on loopback that answers whatever a test says, as a Bitcoin node's RPC."""

import asyncio

INFO = b'{"result":{"chain":"main","blocks":7,"headers":8,"bestblockhash":"00","odd":[{}]},"error":null,"id":0}'


def http(body: bytes, *, status: bytes = b"200 OK", extra: bytes = b"") -> bytes:
    return b"HTTP/1.1 %b\r\nContent-Length: %d\r\n%b\r\n%b" % (status, len(body), extra, body)


class Stub:
    """Answers each request with the next of ``answers`` (the last stays); empty bytes close the connection."""

    def __init__(self) -> None:
        self.answers: list[bytes] = []
        self.requests: list[bytes] = []
        self.connections = 0
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                size = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
                self.requests.append(head + await reader.readexactly(size))
                answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                if answer == b"silence":
                    await asyncio.sleep(30)
                writer.write(answer)
                await writer.drain()
                if not answer or answer.endswith(b"CUT"):
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
