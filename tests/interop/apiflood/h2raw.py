"""HTTP/2 by hand: frames as bytes, and a small honest gRPC client, for floods against the API."""
import socket
import struct
import time

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS = 1, 1, 4
CALM = 11


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def hpack_int(value, bits, first=0):
    limit = (1 << bits) - 1
    if value < limit:
        return bytes([first | value])
    out, value = bytes([first | limit]), value - limit
    while value >= 128:
        out, value = out + bytes([value % 128 + 128]), value // 128
    return out + bytes([value])


def literal(name, value, indexed=False):
    return (b"\x40" if indexed else b"\0") + hpack_int(len(name), 7) + name + hpack_int(len(value), 7) + value


def headers(path, extra=b""):
    return (b"\x83\x86" + literal(b":path", path) + literal(b":authority", b"localhost")
            + literal(b"content-type", b"application/grpc") + literal(b"te", b"trailers") + extra)


def grpc(message):
    return b"\0" + struct.pack(">I", len(message)) + message


def field(number, value):
    if isinstance(value, int):
        return bytes([number << 3]) + varint(value)
    return bytes([number << 3 | 2]) + varint(len(value)) + value


def varint(value):
    out = b""
    while value >= 128:
        out, value = out + bytes([value % 128 + 128]), value // 128
    return out + bytes([value])


RANGE, PUT, WATCH = b"/etcdserverpb.KV/Range", b"/etcdserverpb.KV/Put", b"/etcdserverpb.Watch/Watch"
KEEPALIVE = b"/etcdserverpb.Lease/LeaseKeepAlive"


def body(stream, message, end=True):
    """A message in DATA frames of at most what every server takes."""
    payload = grpc(message)
    pieces = [payload[at:at + 16384] for at in range(0, len(payload), 16384)]
    return b"".join(frame(DATA, END_STREAM if end and p is pieces[-1] else 0, stream, p) for p in pieces)


def call(stream, path, message, end=True):
    return frame(HEADERS, END_HEADERS, stream, headers(path)) + body(stream, message, end)


class Connection:
    """A socket that speaks HTTP/2 as far as it is told to."""

    def __init__(self, address, settings=b"", greet=True, receive_buffer=None):
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(10)
        self.socket.connect(address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.goaway = None
        self.closed = False
        self.stream = -1
        if greet:
            self.send(PREFACE + frame(SETTINGS, 0, 0, settings) + frame(SETTINGS, ACK, 0))

    def next_stream(self):
        self.stream += 2
        return self.stream

    def send(self, data, timeout=10):
        """Whether all of it was taken; a peer that closed or stopped reading is no error here."""
        self.socket.settimeout(timeout)
        try:
            self.socket.sendall(data)
            return True
        except socket.timeout:
            return False
        except OSError:
            self.closed = True
            return False

    def frames(self, timeout):
        """Frames as they come, until nothing comes for TIMEOUT or the connection ends."""
        deadline = time.monotonic() + timeout
        while True:
            while len(self.buffer) >= 9:
                size = int.from_bytes(self.buffer[:3], "big")
                if len(self.buffer) < 9 + size:
                    break
                kind, flags = self.buffer[3], self.buffer[4]
                stream = int.from_bytes(self.buffer[5:9], "big")
                payload, self.buffer = self.buffer[9:9 + size], self.buffer[9 + size:]
                if kind == GOAWAY:
                    self.goaway = int.from_bytes(payload[4:8], "big"), payload[8:]
                yield kind, flags, stream, payload
            left = deadline - time.monotonic()
            if left <= 0 or self.closed:
                return
            self.socket.settimeout(left)
            try:
                part = self.socket.recv(1 << 18)
            except socket.timeout:
                return
            except OSError:
                part = b""
            if not part:
                self.closed = True
            self.buffer += part

    def drain(self, timeout):
        return list(self.frames(timeout))

    def close(self):
        self.socket.close()


class Honest(Connection):
    """A client that behaves: one call after the other."""

    def call(self, path, message, timeout=5):
        """The response's messages as bytes; None: none came in time."""
        stream = self.next_stream()
        self.send(call(stream, path, message))
        answer = b""
        for kind, flags, which, payload in self.frames(timeout):
            if kind == PING and not flags & ACK:
                self.send(frame(PING, ACK, 0, payload))
            if kind == DATA and payload:
                update = struct.pack(">I", len(payload))
                self.send(frame(WINDOW, 0, 0, update) + (frame(WINDOW, 0, which, update) if which == stream else b""))
            if which != stream:
                continue
            if kind == DATA:
                answer += payload
            if kind == RST or (kind in (DATA, HEADERS) and flags & END_STREAM):
                return answer or None
        return None

    def put(self, key, value):
        return self.call(PUT, field(1, key) + field(2, value))

    def get(self, key):
        return self.call(RANGE, field(1, key))
