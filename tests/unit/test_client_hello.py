"""The parser of what a TLS connection begins with: real ones, cut anywhere, and broken ones."""

from __future__ import annotations

import ssl
from itertools import pairwise

import pytest
import trustme
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.gateway.egress.client_hello import MAX_HELLO, AnswerReader, HelloReader, NotTlsError


def real_hello(name: str | None, newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> bytes:
    """What Python's own client begins with."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.maximum_version = newest
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


HELLO = real_hello("docs.example.org")


def sized(length: int, data: bytes) -> bytes:
    return len(data).to_bytes(length) + data


def names(*hosts: bytes, kind: int = 0) -> bytes:
    return b"\0\0" + sized(2, sized(2, b"".join(bytes([kind]) + sized(2, host) for host in hosts)))


def hello(extensions: bytes | None, more: bytes = b"") -> bytes:
    body = b"\x03\x03" + b"r" * 32 + sized(1, b"s" * 32) + sized(2, b"\x13\x01") + sized(1, b"\0")
    body += (sized(2, extensions) if extensions is not None else b"") + more
    return b"\x01" + sized(3, body)


def record(content: bytes, kind: int = 22, version: bytes = b"\x03\x01") -> bytes:
    return bytes([kind]) + version + sized(2, content)


def read(data: bytes, pieces: int | None = None) -> str | None:
    reader = HelloReader()
    for start in range(0, len(data), pieces or len(data)):
        name = reader.feed(data[start : start + (pieces or len(data))])
        if name is not None:
            return name
    return None


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_real_client(newest: ssl.TLSVersion) -> None:
    assert read(real_hello("Docs.Example.org", newest)) == "docs.example.org"
    with pytest.raises(NotTlsError, match="names no server"):
        read(real_hello(None, newest))


@pytest.mark.parametrize("size", [1, 2, 5, 6, 100])
def test_it_may_come_in_pieces(size: int) -> None:
    assert read(HELLO, size) == "docs.example.org"
    assert read(HELLO[:-1], size) is None


@given(st.lists(st.integers(1, len(HELLO) - 6), max_size=30), st.lists(st.integers(1, 700), max_size=10))
def test_it_may_be_cut_into_records_and_these_into_pieces(cuts: list[int], chunks: list[int]) -> None:
    content = HELLO[5:]
    edges = sorted({0, *cuts, len(content)})
    data = b"".join(record(content[start:end]) for start, end in pairwise(edges))
    reader, name, at = HelloReader(), None, 0
    for size in [*chunks, len(data)]:
        if name is None and data[at : at + size]:
            name = reader.feed(data[at : at + size])
            at += size
    assert name == "docs.example.org"


def test_what_comes_after_it_is_not_its_business() -> None:
    assert read(HELLO + record(b"\1", kind=20) + b"early data") == "docs.example.org"


def test_other_extensions_stand_beside_the_name() -> None:
    grease = b"\x0a\x0a" + sized(2, b"")
    assert read(record(hello(grease + names(b"a.example") + grease))) == "a.example"


@pytest.mark.parametrize("before", [True, False])
def test_a_hello_that_hides_another_is_refused(before: bool) -> None:
    encrypted = b"\xfe\x0d" + sized(2, b"\0" * 40)
    both = encrypted + names(b"a.example") if before else names(b"a.example") + encrypted
    with pytest.raises(NotTlsError, match="hides another"):
        read(record(hello(both)))


def test_a_second_hello_may_come_after_what_the_first_one_brought() -> None:
    brought = record(b"\1", kind=20) + record(b"early data", kind=23)
    reader = HelloReader(again=True)
    assert reader.feed(brought + record(hello(names(b"a.example"))) + b"more") == "a.example"
    assert reader.behind == 4
    with pytest.raises(NotTlsError, match="does not begin"):
        HelloReader().feed(brought)
    with pytest.raises(NotTlsError, match="no whole ClientHello"):
        HelloReader(again=True).feed(record(b"x" * 16_000, kind=23) * 2)


def answered(*, again: bool) -> bytes:
    """What Python's own server answers to Python's own client."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("docs.example.org").configure_cert(server)
    if again:
        server.set_ecdh_curve("secp384r1")  # no client begins with a share for that one
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    incoming.write(HELLO)
    with pytest.raises(ssl.SSLWantReadError):
        server.wrap_bio(incoming, outgoing, server_side=True).do_handshake()
    return outgoing.read()


@pytest.mark.parametrize("again", [True, False])
@pytest.mark.parametrize("size", [1, 7, 10_000])
@pytest.mark.parametrize("warned", [b"", record(b"\1\x70", kind=21)])
def test_whether_a_real_server_asks_again(again: bool, size: int, warned: bytes) -> None:
    data, reader = warned + answered(again=again), AnswerReader()
    found = [reader.feed(data[start : start + size]) for start in range(0, len(data), size)]
    assert next(answer for answer in found if answer is not None) is again


@pytest.mark.parametrize("data", [b"SSH-2.0-x\r\n", record(b"\x0b\0\0\0"), record(b"x", kind=23)])
def test_what_is_no_answer_of_tls_asks_nothing(data: bytes) -> None:
    assert AnswerReader().feed(data) is False


@given(st.binary(max_size=200))
def test_no_answer_makes_it_fail(data: bytes) -> None:
    for begun in (data, record(data or b"x"), record(b"\x02\0\0\x30\3\3" + data)):
        assert AnswerReader().feed(begun) in {True, False, None}


BROKEN = {
    "http": (b"GET / HTTP/1.1\r\n", "does not begin"),
    "ssh": (b"SSH-2.0-x\r\n", "does not begin"),
    "an old hello": (b"\x80\x2e\x01\x03\x01", "does not begin"),
    "an alert": (record(b"\2\x28", kind=21), "does not begin"),
    "application data": (record(b"x", kind=23), "does not begin"),
    "another version": (record(hello(names(b"a.example")), version=b"\x02\x00"), "no record"),
    "an empty record": (record(b""), "no record"),
    "a record too long": (b"\x16\x03\x01\xff\xff", "no record"),
    "another message": (record(b"\x02" + sized(3, b"x")), "no ClientHello"),
    "a huge hello": (record(b"\x01\xff\xff\xff"), "longer than 16 KiB"),
    "two messages": (record(hello(names(b"a.example")) * 2), "packed behind"),
    "no extensions": (record(hello(None)), "names no server"),
    "empty extensions": (record(hello(b"")), "names no server"),
    "bytes behind": (record(hello(names(b"a.example"), b"x")), "longer than it says"),
    "cut extensions": (record(b"\x01" + sized(3, hello(names(b"a.example"))[4:-3])), "too early"),
    "two names": (record(hello(names(b"a.example", b"b.example"))), "several"),
    "two extensions": (record(hello(names(b"a.example") + names(b"b.example"))), "several"),
    "another kind of name": (record(hello(names(b"a.example", kind=1))), "by a host name"),
    "an empty list": (record(hello(names())), "too early"),
    "another tongue": (record(hello(names("ä.example".encode()))), "not ASCII"),
    "a record of another kind between": (record(hello(names(b"a.example"))[:9]) + record(b"x", kind=23),
                                         "does not begin"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("size", [1, 10_000])
def test_what_is_no_beginning_of_tls_to_a_named_host(name: str, size: int) -> None:
    data, why = BROKEN[name]
    with pytest.raises(NotTlsError, match=why):
        read(data, size)


def test_it_is_not_waited_for_without_end() -> None:
    body = hello(names(b"a.example") + b"\x12\x34" + sized(2, b"\0" * (MAX_HELLO - 200)))
    with pytest.raises(NotTlsError, match="no whole ClientHello"):
        read(b"".join(record(body[at : at + 1]) for at in range(len(body))), 64)


@given(st.binary(max_size=400))
def test_no_bytes_make_it_fail_otherwise(data: bytes) -> None:
    for begun in (data, b"\x16\x03\x01" + data, record(data or b"x"), record(b"\x01" + sized(3, data))):
        try:
            read(begun, 7)
        except NotTlsError:
            continue


@settings(max_examples=300)
@given(st.integers(0, len(HELLO) - 1), st.integers(0, 255))
def test_a_byte_changed_anywhere_gives_a_name_or_a_refusal(at: int, value: int) -> None:
    data = HELLO[:at] + bytes([value]) + HELLO[at + 1 :]
    try:
        name = read(data)
    except NotTlsError:
        return
    assert name is None or (name.isascii() and len(name) <= len(HELLO))


def test_the_cost_of_a_byte_does_not_grow() -> None:
    """Each byte is taken once: what is left over is never read again from its beginning."""
    reader = HelloReader()
    for _ in range(2000):
        assert reader.feed(record(b"\x01\x00\x3f\xff" if not reader._taken else b"\0")) is None
        assert reader.behind == 0
