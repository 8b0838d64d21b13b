"""Reads, from what a TLS connection begins with, which host it is for. Pure.

RFC 8446, sections 4.1.2 and 5.1: records of at most 2¹⁴ bytes carry handshake messages, which may be cut
at any place; the first message is a ClientHello. RFC 6066, section 3: its extension 0 names the server.
What can't be read in exactly one way is no ClientHello.

A server may ask for a second ClientHello (section 4.1.4), and take the name in that one. An encrypted one
(extension 0xfe0d) hides another name in it; that is not taken, not even where it is made up to look alike.
"""

from __future__ import annotations

MAX_HELLO = 16 * 1024
"""Bytes that a ClientHello may take with the heads of its records. Those of browsers take 2 KiB."""

_HEAD = 5
_MAX_RECORD = 1 << 14
_MAX_SEALED = _MAX_RECORD + 256
_CHANGE_CIPHER, _ALERT, _HANDSHAKE, _DATA = 20, 21, 22, 23
_CLIENT_HELLO, _SERVER_HELLO = 1, 2
_SERVER_NAME, _HOST_NAME = 0, 0
_ENCRYPTED_HELLO = 0xFE0D
_RANDOM = 32
_RETRY = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
"""The `random` of a server that asks for a second ClientHello (RFC 8446, section 4.1.3)."""


class NotTlsError(ValueError):
    """What came is not the beginning of a TLS connection to a named host."""


def begins_tls(data: bytes) -> bool:
    """Whether these first bytes are those of a TLS handshake."""
    return data[:1] == bytes([_HANDSHAKE])


class _Records:
    """Takes bytes as they come, each once, and gives the content of each record of a handshake."""

    def __init__(self, *skipped: int) -> None:
        self._skipped = skipped
        self.rest = bytearray()
        """What came behind the last whole record."""

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        self.rest += data

    def next(self) -> bytes | None:
        """The content of the next record, if it is whole.

        Raises:
            NotTlsError: It is none of a handshake.
        """
        while (record := self._record()) is not None and record[0] != _HANDSHAKE:
            pass
        return None if record is None else record[_HEAD:]

    def _record(self) -> bytes | None:
        rest = self.rest
        if rest and rest[0] != _HANDSHAKE and rest[0] not in self._skipped:
            raise NotTlsError("it does not begin a TLS handshake")
        if len(rest) < _HEAD:
            return None
        length = int.from_bytes(rest[3:5])
        most = _MAX_RECORD if rest[0] == _HANDSHAKE else _MAX_SEALED
        if rest[1] != 3 or not 0 < length <= most:
            raise NotTlsError("it is no record of TLS")
        if len(rest) < _HEAD + length:
            return None
        record = bytes(rest[: _HEAD + length])
        del rest[: _HEAD + length]
        return record


class HelloReader:
    """Takes what a client says until the name is known.

    Args:
        again: The server has asked for a second ClientHello. What a client may have sent before it
            (section 4.2.10 and appendix D.4) is passed over.
    """

    def __init__(self, *, again: bool = False) -> None:
        self._taken = 0
        self._records = _Records(_CHANGE_CIPHER, _DATA) if again else _Records()
        self._message = bytearray()

    @property
    def behind(self) -> int:
        """How many of the bytes that were taken came behind the last whole record."""
        return len(self._records.rest)

    def feed(self, data: bytes) -> str | None:
        """Take the next bytes; the server's name once the ClientHello is whole.

        Raises:
            NotTlsError: It is none, it names no server, or it is too long.
        """
        self._taken += len(data)
        self._records.feed(data)
        while (record := self._records.next()) is not None:
            self._message += record
            if (name := self._name()) is not None:
                return name
        if self._taken >= MAX_HELLO:
            raise NotTlsError(f"no whole ClientHello in {MAX_HELLO // 1024} KiB")
        return None

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


class AnswerReader:
    """Takes what a server answers to a ClientHello until it is clear whether it asks for a second one.

    Old servers warn of a name that they don't know, and go on.
    """

    def __init__(self) -> None:
        self._records = _Records(_ALERT)
        self._message = bytearray()

    def feed(self, data: bytes) -> bool | None:
        """Take the next bytes; whether it asks again, once that is known."""
        self._records.feed(data)
        try:
            while (record := self._records.next()) is not None:
                self._message += record
                if (again := self._asks_again()) is not None:
                    return again
        except NotTlsError:  # nor does a client make anything of it
            return False
        return None

    def _asks_again(self) -> bool | None:
        if self._message[0] != _SERVER_HELLO:
            return False
        random = self._message[6 : 6 + _RANDOM]  # behind kind, length and version
        return None if len(random) < _RANDOM else random == _RETRY


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
        if kind == _ENCRYPTED_HELLO:
            raise NotTlsError("it hides another ClientHello; switch that off (ECH)")
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
