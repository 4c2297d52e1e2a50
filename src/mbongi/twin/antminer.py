"""A stock Antminer: the cgminer API and the digest-protected web interface of one machine."""

from mbongi.twin.antminer_rpc import AntminerRpc
from mbongi.twin.antminer_web import AntminerWeb
from mbongi.twin.firmware import HttpReply, HttpRequest, Reply
from mbongi.twin.machine import VirtualMachine


class Antminer:
    """One Antminer's firmware."""

    def __init__(self, machine: VirtualMachine, *, password: str = "root") -> None:  # noqa: S107 -- factory setting
        self.machine = machine
        self.rpc, self.web = AntminerRpc(machine), AntminerWeb(machine, password=password)

    def answer_rpc(self, request: bytes) -> Reply:
        """One complete request."""
        return self.rpc.answer(request)

    def answer_http(self, request: HttpRequest) -> HttpReply:
        """One request."""
        return self.web.answer(request)
