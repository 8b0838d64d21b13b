"""Reads, from the first bytes of a TLS connection, which host it is for. Pure.

RFC 8446, sections 4.1.2 and 5.1: records of at most 2¹⁴ bytes carry handshake messages, which may be cut
at any place; the first message is a ClientHello. RFC 6066, section 3: its extension 0 names the server.
What can't be read in exactly one way is no ClientHello.

An encrypted ClientHello (extension 0xfe0d) has an outer name like any other, and that name is what counts
here: the connection goes to the host of that name, whatever the inner one says.
"""

from __future__ import annotations

MAX_HELLO = 16 * 1024
"""Bytes that a ClientHello may take with the heads of its records. Those of browsers take 2 KiB."""

_HEAD = 5
_MAX_RECORD = 1 << 14
_HANDSHAKE, _CLIENT_HELLO = 22, 1
_SERVER_NAME, _HOST_NAME = 0, 0
_RANDOM = 32


class NotTlsError(ValueError):
    """What came is not the beginning of a TLS connection to a named host."""


class HelloReader:
    """Takes bytes as they come, each once, until the name is known."""

    def __init__(self) -> None:
        self._taken = 0
        self._rest = bytearray()
        self._message = bytearray()

    def feed(self, data: bytes) -> str | None:
        """Take the next bytes; the server's name once the ClientHello is whole.

        Raises:
            NotTlsError: It is none, it names no server, or it is too long.
        """
        self._taken += len(data)
        self._rest += data
        while (record := self._record()) is not None:
            self._message += record
            if (name := self._name()) is not None:
                return name
        if self._taken >= MAX_HELLO:
            raise NotTlsError(f"no whole ClientHello in {MAX_HELLO // 1024} KiB")
        return None

    def _record(self) -> bytes | None:
        """The content of the next record, if it is whole."""
        if self._rest and self._rest[0] != _HANDSHAKE:
            raise NotTlsError("it does not begin a TLS handshake")
        if len(self._rest) < _HEAD:
            return None
        length = int.from_bytes(self._rest[3:5])
        if self._rest[1] != 3 or not 0 < length <= _MAX_RECORD:
            raise NotTlsError("it is no record of TLS")
        if len(self._rest) < _HEAD + length:
            return None
        record = bytes(self._rest[_HEAD : _HEAD + length])
        del self._rest[: _HEAD + length]
        return record

    def _name(self) -> str | None:
        if self._message[0] != _CLIENT_HELLO:
            raise NotTlsError("its first message is no ClientHello")
        if len(self._message) < 4:
            return None
        length = int.from_bytes(self._message[1:4])
        if length > MAX_HELLO:
            raise NotTlsError(f"its ClientHello is longer than {MAX_HELLO // 1024} KiB")
        if len(self._message) < 4 + length:
            return None
        if len(self._message) > 4 + length:
            raise NotTlsError("something is packed behind its ClientHello")
        return _server_name(_Cursor(bytes(self._message[4:])))


class _Cursor:
    """Reads on through bytes."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def is_at_end(self) -> bool:
        return self._at == len(self._data)

    def take(self, size: int) -> bytes:
        taken = self._data[self._at : self._at + size]
        if len(taken) < size:
            raise NotTlsError("its ClientHello ends too early")
        self._at += size
        return taken

    def rest(self) -> bytes:
        return self._data[self._at :]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size))

    def vector(self, size: int) -> _Cursor:
        """What follows a length of that many bytes."""
        return _Cursor(self.take(self.number(size)))


def _server_name(hello: _Cursor) -> str:
    hello.take(2 + _RANDOM)  # version, random
    for size in (1, 2, 1):  # session, cipher suites, compression
        hello.vector(size)
    if hello.is_at_end():
        raise NotTlsError("it names no server")
    extensions = hello.vector(2)
    if not hello.is_at_end():
        raise NotTlsError("its ClientHello is longer than it says")
    names = _server_names(extensions)
    if len(names) != 1:
        raise NotTlsError("it names no server" if not names else "it names several servers")
    return _host_name(names[0])


def _server_names(extensions: _Cursor) -> list[_Cursor]:
    """Every server name extension."""
    found = []
    while not extensions.is_at_end():
        kind, content = extensions.number(2), extensions.vector(2)
        if kind == _SERVER_NAME:
            found.append(content)
    return found


def _host_name(extension: _Cursor) -> str:
    names = extension.vector(2)
    if not extension.is_at_end() or names.number(1) != _HOST_NAME:
        raise NotTlsError("it names no server by a host name")
    name = names.vector(2)
    if not names.is_at_end():
        raise NotTlsError("it names several servers")
    try:
        return name.rest().decode("ascii").lower()
    except UnicodeDecodeError as error:
        raise NotTlsError("its server's name is not ASCII") from error
