"""HTTP/1.1, the client's side."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbongi.wire.errors import TooLongError, WireError
from mbongi.wire.http1 import Response, ResponseParser, request


def test_a_get_is_the_bytes_of_rfc_9112_and_keeps_the_connection() -> None:
    assert request("GET", "/api/system/info", host="10.1.2.3") == (
        b"GET /api/system/info HTTP/1.1\r\nHost: 10.1.2.3\r\nAccept: */*\r\n\r\n"
    )


def test_a_post_states_the_length_of_its_body() -> None:
    data = request("POST", "/x", host="h", authorization="Digest a=1", body=b'{"a":1}')
    head, _, body = data.partition(b"\r\n\r\n")
    assert body == b'{"a":1}'
    assert b"Content-Length: 7" in head
    assert b"Authorization: Digest a=1" in head


@pytest.mark.parametrize(
    ("target", "host", "authorization"),
    [("/a b", "h", ""), ("/a\r\nX: y", "h", ""), ("/a", "h\r\nX: y", ""), ("/a", "h", "Digest\r\nX: y"), ("", "h", "")],
)
def test_a_request_part_that_would_break_out_of_its_line_is_refused(target: str, host: str, authorization: str) -> None:
    with pytest.raises(WireError):
        request("GET", target, host=host, authorization=authorization)


def test_a_response_with_a_length_is_whole_with_its_last_byte() -> None:
    parser = ResponseParser()
    assert parser.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: b\r\n\r\nhel") is None
    assert parser.started
    found = parser.feed(b"lo")
    assert found is not None
    assert (found.status, found.body, found.keep_alive, found.header("x-a")) == (200, b"hello", True, "b")
    assert not parser.started


def test_a_chunked_response_is_put_together_whatever_the_pieces() -> None:
    data = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n"
    for size in (1, 7, len(data)):
        assert _whole(ResponseParser(), data, size).body == b"abc0123456789"


def test_a_response_without_a_length_ends_with_its_connection() -> None:
    parser = ResponseParser()
    assert parser.feed(b"HTTP/1.0 200 OK\r\nServer: x\r\n\r\nhello ") is None
    assert parser.feed(b"there") is None
    found = parser.end()
    assert (found.body, found.keep_alive) == (b"hello there", False)


def test_a_connection_that_ends_before_the_stated_length_is_a_cut_response() -> None:
    parser = ResponseParser()
    parser.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf")
    with pytest.raises(WireError, match="before the response did"):
        parser.end()


def test_connection_close_says_that_no_further_request_fits() -> None:
    found = ResponseParser().feed(b"HTTP/1.1 401 No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
    assert found is not None
    assert (found.status, found.keep_alive) == (401, False)


def test_one_parser_takes_the_responses_of_one_connection_in_turn() -> None:
    parser = ResponseParser()
    for number in (b"1", b"2", b"3"):
        found = parser.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n" + number)
        assert found is not None
        assert found.body == number


def test_a_second_response_that_nobody_asked_for_is_an_error() -> None:
    one = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    with pytest.raises(WireError):
        ResponseParser().feed(one + one)


def test_a_response_above_the_limit_is_an_error_and_not_memory() -> None:
    parser = ResponseParser(bytes_max=1000)
    parser.feed(b"HTTP/1.1 200 OK\r\n\r\n")
    for _ in range(9):
        parser.feed(b"x" * 100)
    with pytest.raises(TooLongError):
        parser.feed(b"x" * 100)


@given(st.binary(max_size=300))
def test_no_bytes_whatever_make_the_parser_fail_otherwise_than_with_its_error(data: bytes) -> None:
    _survives(data)


@given(st.binary(max_size=200))
def test_no_bytes_after_a_good_head_do_either(data: bytes) -> None:
    _survives(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + data)


def _survives(data: bytes) -> None:
    parser = ResponseParser()
    try:
        if parser.feed(data) is None:
            parser.end()
    except WireError:
        pass


def _whole(parser: ResponseParser, data: bytes, size: int) -> Response:
    for start in range(0, len(data), size):
        found = parser.feed(data[start : start + size])
        if found is not None:
            return found
    raise AssertionError("the response did not become whole")
