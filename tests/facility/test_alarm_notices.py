"""Notices: made once for each step of the rota until somebody answers, sent until taken, and kept as the record."""

import asyncio
import hashlib
import hmac
import json
import socketserver
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from mbongi.facility import alarm_answers, alarm_notices, alarm_rows
from mbongi.facility.adapters.notice_http import SmsGateway, Webhook
from mbongi.facility.adapters.notice_smtp import Mail
from mbongi.facility.errors import AlarmRefusedError, NoticeError
from mbongi.facility.models import Alarm, AlarmNotice
from mbongi.facility.rules.alarm_rota import TRIES_MAX, Channel, Outgoing
from tests.facility.alarm_bed import OK, UP, Bed, at

ROTA = {
    "duties": [
        {"name": "Awa", "channel": "email", "address": "awa@site.example", "priority": "medium", "language": "en"},
        {"name": "Ben", "channel": "sms", "address": "+242001", "after_min": 15, "priority": "high", "language": "fr"},
        {"name": "Chi", "channel": "webhook", "address": "http://127.0.0.1/x", "after_min": 15, "priority": "low"},
    ]
}


@pytest.fixture
def bed(lead):
    made = Bed(lead)
    alarm_notices.write_rota(lead, ROTA, reason="the rota")
    return made


def make(seconds):
    return alarm_notices.make_due("Africa/Brazzaville", site_name="B1", url="http://localhost", now=at(seconds))


def made():
    return [(row.name, row.step) for row in AlarmNotice.objects.order_by("pk")]


@pytest.mark.django_db
@pytest.mark.usefixtures("as_site")
class TestMaking:
    """Which notices there are."""

    def test_each_step_is_told_once_until_somebody_answers(self, bed, lead):
        bed.step(0, ("trip", "tr-1", UP, 0))
        assert (make(1), make(2), make(899)) == (1, 0, 0)
        assert make(900) == 2
        assert make(5000) == 0
        assert made() == [("Awa", 0), ("Ben", 1), ("Chi", 1)]

    def test_a_first_step_of_some_minutes_waits_for_them(self, bed, lead):
        later = {"duties": [ROTA["duties"][1]]}
        alarm_notices.write_rota(lead, later, reason="nobody at once")
        bed.step(0, ("trip", "tr-1", UP, 0))
        assert (make(1), make(899), make(900), make(5000)) == (0, 0, 1, 0)

    def test_nobody_is_told_further_once_somebody_answered(self, bed, lead):
        bed.step(0, ("trip", "tr-1", UP, 0))
        make(1)
        alarm_answers.acknowledge(lead, [Alarm.objects.get().pk])
        assert make(5000) == 0

    def test_what_returned_and_nobody_answered_goes_up_all_the_same(self, bed):
        bed.step(0, ("trip", "tr-1", UP, 0))
        make(1)
        bed.step(20, ("trip", "tr-1", OK, 20))
        assert make(900) == 2

    def test_an_alarm_that_comes_and_goes_between_two_looks_is_told(self, bed):
        bed.step(1, ("trip", "tr-1", UP, 0), ("trip", "tr-1", OK, 1))
        assert make(2) == 1

    def test_a_flood_is_one_notice_of_its_root(self, bed):
        bed.step(0, *(("dark", f"rack-{n}", UP, 0) for n in (1, 2, 3)))
        assert make(1) == 0
        bed.step(3, ("trip", "tr-1", UP, 2))
        bed.step(9)
        assert make(10) == 1
        notice = AlarmNotice.objects.get()
        assert notice.alarms == [Alarm.objects.get(tag="tr-1").pk]
        assert notice.subject == "B1: High: Transformer tripped · tr-1"

    def test_people_are_told_in_their_language_of_what_concerns_them(self, bed):
        bed.step(100, ("hot", "room-1", UP, 0))
        assert make(101) == 0
        assert make(1000) == 1
        notice = AlarmNotice.objects.get()
        assert (notice.name, notice.key is None) == ("Chi", False)

    def test_what_is_not_taken_is_tried_again_later_and_given_up_in_the_end(self, bed):
        bed.step(0, ("trip", "tr-1", UP, 0))
        make(1)
        [notice] = alarm_notices.to_send(at(1))
        alarm_notices.note_failed(notice.id, notice.tries, "away", is_final=False, now=at(1))
        assert alarm_notices.to_send(at(10)) == []
        [again] = alarm_notices.to_send(at(11))
        assert (again.key, again.tries) == (notice.key, 1)
        alarm_notices.note_failed(notice.id, TRIES_MAX - 1, "away", is_final=False, now=at(11))
        [row] = alarm_rows.notices()
        assert (row.is_waiting, row.sent_at, row.error) == (False, None, "away")

    def test_what_was_sent_is_kept_with_its_time(self, bed):
        bed.step(0, ("trip", "tr-1", UP, 0))
        make(1)
        alarm_notices.note_sent(alarm_notices.to_send(at(1))[0].id, now=at(2))
        assert alarm_notices.to_send(at(9999)) == []
        assert alarm_rows.notices(alarm_id=Alarm.objects.get().pk)[0].sent_at == at(2)

    @pytest.mark.parametrize(
        "fault",
        [{"address": "nobody"}, {"days": "8"}, {"begins": "25:00"}, {"after_min": -1}, {"channel": "pigeon"}, {"x": 1}],
    )
    def test_a_rota_that_cannot_be_is_refused(self, bed, lead, fault):
        with pytest.raises(AlarmRefusedError):
            alarm_notices.write_rota(lead, {"duties": [{**ROTA["duties"][0], **fault}]}, reason="try")


def outgoing(channel=Channel.EMAIL, address="awa@site.example"):
    return Outgoing(1, "0f8e-1", channel, address, "B1: High: é", "Look.\nhttp://localhost/alarms/", [4], 0)


class _Smtp(socketserver.StreamRequestHandler):
    """Enough of RFC 5321 to take a message, written apart from the client."""

    def handle(self):
        said = self.server.said
        self.wfile.write(b"220 test\r\n")
        data = False
        for raw in self.rfile:
            line = raw.decode().rstrip("\r\n")
            said.append(line)
            if data:
                data = line != "."
                answer = "" if data else "250 taken"
            elif line.upper() == "DATA":
                data, answer = True, "354 go on"
            elif line.lower().startswith("rcpt") and self.server.refuses:
                answer = f"{self.server.refuses} no"
            else:
                answer = "221 bye" if line.upper() == "QUIT" else "250 ok"
            if answer:
                self.wfile.write(f"{answer}\r\n".encode())
            if line.upper() == "QUIT":
                return


class _Http(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.said.append((self.path, dict(self.headers), body))
        self.send_response(self.server.refuses or 204)
        self.end_headers()

    def log_message(self, *_arguments):
        """Say nothing."""


@contextmanager
def serving(kind, handler, refuses=0):
    """A server on loopback; what it was told is in ``said``."""
    with kind(("127.0.0.1", 0), handler) as server:
        server.said, server.refuses, server.daemon_threads = [], refuses, True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server, server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def smtp(refuses=0):
    return serving(socketserver.ThreadingTCPServer, _Smtp, refuses)


def http(refuses=0):
    return serving(ThreadingHTTPServer, _Http, refuses)


def test_a_mail_reaches_the_relay_with_a_message_id_of_its_own():
    with smtp() as (server, port):
        Mail("127.0.0.1", port, "alarms@site.example", security="none").send(outgoing())
    assert "RCPT TO:<awa@site.example>" in [
        line.upper().replace("AWA@SITE.EXAMPLE", "awa@site.example") for line in server.said
    ]
    assert "Message-ID: <0f8e-1@site.example>" in server.said
    assert "Look." in server.said


@pytest.mark.parametrize(("code", "is_final"), [(550, True), (450, False)])
def test_a_refused_receiver_is_final_where_the_relay_says_so(code, is_final):
    with smtp(code) as (_server, port), pytest.raises(NoticeError) as caught:
        Mail("127.0.0.1", port, "alarms@site.example", security="none").send(outgoing())
    assert caught.value.is_final is is_final


def test_a_webhook_is_signed_and_keeps_its_key():
    with http() as (server, port):
        notice = outgoing(Channel.WEBHOOK, f"http://127.0.0.1:{port}/hook?a=1")
        Webhook([f"127.0.0.1:{port}"], "secret").send(notice)
    [(path, headers, body)] = server.said
    stamp, _comma, signature = headers["X-Mbongi-Signature"].partition(",v1=")
    wanted = hmac.new(b"secret", stamp[2:].encode() + b"." + body, hashlib.sha256).hexdigest()
    assert (path, headers["Idempotency-Key"], signature) == ("/hook?a=1", "0f8e-1", wanted)
    assert json.loads(body)["alarms"] == [4]


@pytest.mark.parametrize(
    "address",
    ["http://127.0.0.1:{port}/", "http://evil@127.0.0.1:{port}/", "ftp://127.0.0.1/", "http://[::1", "http://"],
)
def test_a_webhook_goes_nowhere_but_where_the_configuration_allows(address):
    with http() as (server, port), pytest.raises(NoticeError) as caught:
        Webhook(["hooks.site.example", "127.0.0.1"], "secret").send(
            outgoing(Channel.WEBHOOK, address.format(port=port))
        )
    assert (server.said, caught.value.is_final) == ([], True)


@pytest.mark.parametrize("path", ["équipe", "a b"])
def test_an_address_that_http_cannot_say_is_a_notice_not_sent_and_nothing_worse(path):
    with http() as (server, port), pytest.raises(NoticeError):
        Webhook([f"127.0.0.1:{port}"], "s").send(outgoing(Channel.WEBHOOK, f"http://127.0.0.1:{port}/{path}"))
    assert server.said == []


@pytest.mark.parametrize(("code", "is_final"), [(500, False), (429, False), (404, True), (302, True)])
def test_a_refusal_of_a_webhook_is_final_where_trying_again_is_of_no_use(code, is_final):
    with http(code) as (_server, port), pytest.raises(NoticeError) as caught:
        Webhook([f"127.0.0.1:{port}"], "s").send(outgoing(Channel.WEBHOOK, f"http://127.0.0.1:{port}/"))
    assert caught.value.is_final is is_final


def test_an_sms_goes_to_the_gateway_with_its_token_and_no_error_names_it():
    with http() as (server, port):
        SmsGateway(f"http://127.0.0.1:{port}/sms", "token").send(outgoing(Channel.SMS, "+242001"))
    [(_path, headers, body)] = server.said
    assert (headers["Authorization"], json.loads(body)["to"]) == ("Bearer token", "+242001")
    with pytest.raises(NoticeError) as caught:
        SmsGateway(f"http://127.0.0.1:{port}/sms", "token").send(outgoing(Channel.SMS, "+242001"))
    assert "token" not in str(caught.value)


@pytest.mark.parametrize("way", [Mail("", 587, ""), Webhook([], ""), SmsGateway("", "")])
def test_a_way_that_is_not_configured_says_so_for_good(way):
    with pytest.raises(NoticeError) as caught:
        way.send(outgoing())
    assert caught.value.is_final


async def test_the_process_sends_what_is_due_and_notes_what_was_taken(monkeypatch):
    from mbongi.base.config import Config  # noqa: PLC0415
    from mbongi.facility.daemon.notifying import Notifying  # noqa: PLC0415

    waiting, noted = [outgoing(), outgoing(Channel.SMS, "+242001")], []

    class Bridge:
        """Runs the calls at once."""

        async def call(self, function, *arguments, **more):
            return function(*arguments, **more)

    class Way:
        def send(self, notice):
            if notice.channel is Channel.SMS:
                raise NoticeError("away")

    monkeypatch.setattr(alarm_notices, "make_due", lambda *_a, **_k: 0)
    monkeypatch.setattr(alarm_notices, "to_send", lambda: waiting)
    monkeypatch.setattr(alarm_notices, "note_sent", lambda number: noted.append(("sent", number)))
    monkeypatch.setattr(alarm_notices, "note_failed", lambda number, *_a, **_k: noted.append(("failed", number)))
    notifying = Notifying(Config(), Bridge(), {Channel.EMAIL: Way(), Channel.SMS: Way()})
    assert await notifying.look() == 1
    assert sorted(noted) == [("failed", 1), ("sent", 1)]
    await asyncio.sleep(0)
