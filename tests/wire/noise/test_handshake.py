"""The handshake against plain integers, against tampering, and against any bytes."""

from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from mbongi.wire.noise.certificate import Certificate
from mbongi.wire.noise.errors import CertificateError, HandshakeError, SealError
from mbongi.wire.noise.handshake import ACT_1_BYTES, ACT_2_BYTES, Initiator, Responder, Session, hkdf
from mbongi.wire.noise.secp import EllSwiftKey
from tests.wire.noise import reference
from tests.wire.noise.published import AUTHORITY, NOW_S, certificate, keys, responder


def always(key: EllSwiftKey) -> Callable[[], EllSwiftKey]:
    return lambda: key


def plain(key: EllSwiftKey) -> reference.Key:
    return reference.Key(key.secret, key.public)


def finish(initiator: Initiator, act_2: bytes, now_s: int = NOW_S) -> Session:
    return initiator.finish(act_2, now_s=now_s, tolerance_s=10)


def test_the_acts_have_the_lengths_of_the_specification() -> None:
    assert (ACT_1_BYTES, ACT_2_BYTES) == (64, 64 + 80 + 90)


def test_the_responders_act_and_keys_are_those_of_plain_integers() -> None:
    initiator_key, responder_key, static = keys()[:3]
    signed = certificate()

    act_2, session = responder(signed, always(responder_key)).answer(initiator_key.public)

    expected, (to_responder, to_initiator) = reference.respond(
        initiator_key.public, ephemeral=plain(responder_key), static=plain(static), signed=signed.pack()
    )
    assert act_2 == expected
    assert session.sending.encrypt(b"job") == reference.encrypt(to_initiator, 0, b"", b"job")
    assert session.receiving.decrypt(reference.encrypt(to_responder, 0, b"", b"share")) == b"share"


def test_the_initiator_concludes_with_a_responder_in_plain_integers() -> None:
    initiator_key, responder_key, static = keys()[:3]
    initiator = Initiator(AUTHORITY, new_key=always(initiator_key))

    act_2, (to_responder, to_initiator) = reference.respond(
        initiator.act_1(), ephemeral=plain(responder_key), static=plain(static), signed=certificate().pack()
    )
    session = finish(initiator, act_2)

    assert session.sending.encrypt(b"share") == reference.encrypt(to_responder, 0, b"", b"share")
    assert session.receiving.decrypt(reference.encrypt(to_initiator, 0, b"", b"job")) == b"job"


def test_an_initiator_in_plain_integers_reads_key_and_certificate_of_a_fresh_handshake() -> None:
    initiator_key = EllSwiftKey.generate()
    signed = certificate()

    act_2, session = responder(signed).answer(initiator_key.public)

    static, message, (_, to_initiator) = reference.conclude(act_2, ephemeral=plain(initiator_key))
    assert static == keys()[2].public
    assert message == signed.pack()
    assert session.sending.encrypt(b"job") == reference.encrypt(to_initiator, 0, b"", b"job")


def test_both_sides_understand_each_other() -> None:
    initiator = Initiator(AUTHORITY)

    act_2, server = responder().answer(initiator.act_1())
    client = finish(initiator, act_2)

    for number in range(3):
        assert server.receiving.decrypt(client.sending.encrypt(b"share %d" % number)) == b"share %d" % number
        assert client.receiving.decrypt(server.sending.encrypt(b"job %d" % number)) == b"job %d" % number


def test_no_two_handshakes_share_a_key_even_for_the_same_first_act() -> None:
    act_1 = Initiator(AUTHORITY).act_1()
    server = responder()

    first, first_session = server.answer(act_1)
    second, second_session = server.answer(act_1)

    assert first[:64] != second[:64]
    assert first[64:144] != second[64:144]
    assert first_session.sending.encrypt(b"job") != second_session.sending.encrypt(b"job")
    assert Initiator(AUTHORITY).act_1() != Initiator(AUTHORITY).act_1()


@pytest.mark.parametrize("at", range(ACT_2_BYTES))
def test_a_change_of_any_byte_of_the_second_act_is_found(at: int) -> None:
    initiator_key, responder_key = keys()[:2]
    initiator = Initiator(AUTHORITY, new_key=always(initiator_key))
    act_2 = bytearray(responder(new_key=always(responder_key)).answer(initiator.act_1())[0])

    act_2[at] ^= 1 << at % 8

    with pytest.raises(HandshakeError):
        finish(initiator, bytes(act_2))


@pytest.mark.parametrize("at", range(0, ACT_1_BYTES, 7))
def test_a_change_of_any_byte_of_the_first_act_is_found_by_its_sender(at: int) -> None:
    initiator = Initiator(AUTHORITY)
    act_1 = bytearray(initiator.act_1())

    act_1[at] ^= 0x80

    with pytest.raises(HandshakeError):
        finish(initiator, responder().answer(bytes(act_1))[0])


def test_an_encoding_of_the_same_key_by_other_bytes_is_found() -> None:
    # (u, t) and (u, -t) encode the same x coordinate; the ECDH hashes the bytes as they came.
    initiator_key, responder_key = keys()[4], keys()[1]
    u, t = initiator_key.public[:32], initiator_key.public[32:]
    negated = u + (reference.FIELD - int.from_bytes(t)).to_bytes(32)
    assert reference.ellswift_decode(negated) == reference.ellswift_decode(initiator_key.public)

    act_2, _ = responder(new_key=always(responder_key)).answer(negated)

    with pytest.raises(HandshakeError):
        finish(Initiator(AUTHORITY, new_key=always(initiator_key)), act_2)


def test_an_answer_to_another_first_act_is_refused() -> None:
    answered = responder().answer(Initiator(AUTHORITY).act_1())[0]

    with pytest.raises(HandshakeError):
        finish(Initiator(AUTHORITY), answered)


def test_a_handshake_is_concluded_once_only_whether_it_succeeds_or_not() -> None:
    initiator = Initiator(AUTHORITY)
    act_2, _ = responder().answer(initiator.act_1())
    finish(initiator, act_2)
    failed = Initiator(AUTHORITY)
    good, _ = responder().answer(failed.act_1())
    with pytest.raises(HandshakeError):
        finish(failed, bytes(ACT_2_BYTES))

    for each, answer in ((initiator, act_2), (failed, good)):
        with pytest.raises(HandshakeError, match="over"):
            finish(each, answer)


@pytest.mark.parametrize("change", [-1, 1])
def test_acts_of_another_length_are_refused(change: int) -> None:
    initiator = Initiator(AUTHORITY)
    act_2, _ = responder().answer(initiator.act_1())

    with pytest.raises(HandshakeError):
        responder().answer(bytes(ACT_1_BYTES + change))
    with pytest.raises(HandshakeError):
        finish(initiator, (act_2 + b"\0")[: ACT_2_BYTES + change])


def test_a_server_whose_authority_is_not_the_expected_one_is_refused() -> None:
    initiator = Initiator(EllSwiftKey.generate().x_only())

    with pytest.raises(CertificateError, match="did not sign"):
        finish(initiator, responder().answer(initiator.act_1())[0])


def test_a_server_with_another_servers_certificate_is_refused() -> None:
    initiator = Initiator(AUTHORITY)
    thief = Responder(EllSwiftKey.generate(), certificate())

    with pytest.raises(CertificateError, match="did not sign"):
        finish(initiator, thief.answer(initiator.act_1())[0])


@pytest.mark.parametrize(("now_s", "reason"), [(NOW_S - 11, "valid from"), (NOW_S + 3611, "was valid to")])
def test_a_certificate_that_is_not_yet_or_no_longer_valid_is_refused(now_s: int, reason: str) -> None:
    initiator = Initiator(AUTHORITY)

    with pytest.raises(CertificateError, match=reason):
        finish(initiator, responder().answer(initiator.act_1())[0], now_s)


def test_without_an_authority_whoever_answers_is_trusted_but_still_encrypted() -> None:
    initiator = Initiator(None)
    unsigned = Certificate(0, 0, bytes(64))

    act_2, server = responder(unsigned).answer(initiator.act_1())

    assert finish(initiator, act_2).receiving.decrypt(server.sending.encrypt(b"job")) == b"job"


def test_a_peer_that_does_not_hold_its_keys_secret_shows_with_its_first_frame() -> None:
    _, server = responder().answer(bytes(64))

    with pytest.raises(SealError):
        server.receiving.decrypt(bytes(22))


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=100))
def test_hkdf_is_that_of_another_implementation(chaining_key: bytes, material: bytes) -> None:
    expected = HKDF(SHA256(), 64, salt=chaining_key, info=b"").derive(material)

    assert b"".join(hkdf(chaining_key, material)) == expected


def test_hkdf_is_rfc_5869s_third_case() -> None:
    # Appendix A.3: no salt, which HMAC pads as 32 zero bytes, no info; 42 bytes of output.
    output = b"".join(hkdf(bytes(32), b"\x0b" * 22))

    assert output[:42].hex() == "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"


@given(st.one_of(st.binary(max_size=300), st.binary(min_size=ACT_2_BYTES, max_size=ACT_2_BYTES)))
def test_any_bytes_for_a_second_act_are_refused(act_2: bytes) -> None:
    with pytest.raises(HandshakeError):
        finish(Initiator(AUTHORITY), act_2)


@given(st.binary(min_size=60, max_size=68))
def test_any_64_bytes_are_answered_and_other_lengths_refused(act_1: bytes) -> None:
    if len(act_1) == ACT_1_BYTES:
        assert len(responder().answer(act_1)[0]) == ACT_2_BYTES
        return
    with pytest.raises(HandshakeError):
        responder().answer(act_1)


def test_keys_stay_out_of_what_is_printed() -> None:
    initiator_key, responder_key, static = keys()[:3]
    server = responder(new_key=always(responder_key))
    initiator = Initiator(AUTHORITY, new_key=always(initiator_key))
    act_2, session = server.answer(initiator.act_1())
    _, (first, second) = reference.respond(
        initiator_key.public, ephemeral=plain(responder_key), static=plain(static), signed=certificate().pack()
    )

    shown = " ".join(map(repr, (server, initiator, session, session.sending, finish(initiator, act_2))))

    for secret in (first, second, initiator_key.secret, responder_key.secret, static.secret):
        assert repr(secret) not in shown
        assert secret.hex() not in shown
