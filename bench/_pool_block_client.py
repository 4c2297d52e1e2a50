"""Two nodes and a miner in one process: it sends a share that makes a block, and notes when each node hears of it.

Prints the nodes' ports, reads the pool's from stdin, then prints how long each round took [ms] as a line of JSON.
"""

import contextlib
import json
import select
import socket
import sys
import time

TAKEN = b'{"result":null,"error":null,"id":0}'
REPLY = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(TAKEN), TAKEN)


def main() -> None:
    """Measure ``argv[1]`` rounds."""
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    print(json.dumps([each.getsockname()[1] for each in listeners]), flush=True)
    pool = socket.create_connection(("127.0.0.1", int(sys.stdin.readline())))
    pool.sendall(
        b'{"id":1,"method":"mining.subscribe","params":["bench"]}\n'
        b'{"id":2,"method":"mining.authorize","params":["bench.1","x"]}\n'
    )
    lines = pool.makefile("rb")
    while (line := json.loads(lines.readline())).get("method") != "mining.notify":
        pass
    job, time_text = line["params"][0], line["params"][7]
    rounds = []
    for number in range(int(sys.argv[1])):
        links = [each.accept()[0] for each in listeners]
        fields = ["bench.1", job, f"{number:016x}", time_text, "00000000"]
        share = json.dumps({"id": 3, "method": "mining.submit", "params": fields}).encode() + b"\n"
        time.sleep(0.2)  # the pool has come to rest
        began_s = time.monotonic()
        pool.sendall(share)
        rounds.append(_heard_ms(links, began_s))
        for link in links:
            _take(link)
    print(json.dumps(rounds), flush=True)


def _heard_ms(links: list[socket.socket], began_s: float) -> list[float]:
    heard: dict[int, float] = {}
    while len(heard) < len(links):
        waiting = [link for place, link in enumerate(links) if place not in heard]
        for link in select.select(waiting, [], [], 10.0)[0]:
            heard[links.index(link)] = (time.monotonic() - began_s) * 1000.0
    return [heard[place] for place in range(len(links))]


def _take(link: socket.socket) -> None:
    """Read the whole block, say that it was taken, wait for the end."""
    head, _, rest = link.recv(65_536).partition(b"\r\n\r\n")
    left = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]) - len(rest)
    while left > 0:
        left -= len(link.recv(min(left, 1 << 20)))
    link.sendall(REPLY)
    with contextlib.suppress(ConnectionError):
        link.recv(1)
    link.close()


if __name__ == "__main__":
    main()
