"""A small DNS codec for the interop tests: queries out, replies in, one place where bytes are understood.

It is the tests' own reading of RFC 1035 and shares nothing with the code under test. Names are kept as tuples
of byte labels (case kept); record data that holds names is returned with the names expanded, so that two
messages can be compared whatever compression their senders chose.
"""
import base64
import socket
import struct

A, NS, SOA, PTR, HINFO, TXT, AAAA, SRV, OPT, AXFR, ANY, DNSKEY = 1, 2, 6, 12, 13, 16, 28, 33, 41, 252, 255, 48
IN, CH = 1, 3
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = 0, 1, 2, 3, 4, 5
QR, AA, TC, RD, RA, AD, CD = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080, 0x0020, 0x0010
TYPE_NAMES = {A: "A", NS: "NS", SOA: "SOA", PTR: "PTR", HINFO: "HINFO", TXT: "TXT", AAAA: "AAAA",
              SRV: "SRV", OPT: "OPT", AXFR: "AXFR", ANY: "ANY", DNSKEY: "DNSKEY"}


class Malformed(Exception):
    pass


def name(text):
    """'a.b.' -> (b'a', b'b'); no escapes."""
    return tuple(label.encode() for label in text.rstrip(".").split(".") if label)


def name_text(labels):
    return ".".join(label.decode("latin1") for label in labels) + "."


def name_wire(labels):
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


class RR:
    """One record. `data` is a tuple of plain values for the types below, raw bytes for all others."""

    def __init__(self, owner, rtype, rclass, ttl, data):
        self.owner, self.type, self.rclass, self.ttl, self.data = owner, rtype, rclass, ttl, data

    def key(self, ttl=True):
        return (self.owner, self.type, self.rclass, self.ttl if ttl else None, self.data)

    def __eq__(self, other):
        return isinstance(other, RR) and self.key() == other.key()

    def __hash__(self):
        return hash(self.key())

    def __repr__(self):
        return "%s %d %d %s %r" % (name_text(self.owner), self.ttl, self.rclass,
                                   TYPE_NAMES.get(self.type, self.type), self.data)

    def wire(self):
        d = self.data
        if self.type in (PTR, NS):
            body = name_wire(d[0])
        elif self.type == SRV:
            body = struct.pack("!HHH", *d[:3]) + name_wire(d[3])
        elif self.type == SOA:
            body = name_wire(d[0]) + name_wire(d[1]) + struct.pack("!IIIII", *d[2:])
        elif self.type == TXT:
            body = b"".join(bytes([len(s)]) + s for s in d)
        else:
            body = d
        return name_wire(self.owner) + struct.pack("!HHIH", self.type, self.rclass, self.ttl, len(body)) + body


class Message:
    def __init__(self):
        self.id = self.flags = 0
        self.question = []
        self.answer, self.authority, self.additional = [], [], []
        self.size = 0

    rcode = property(lambda self: self.flags & 15)
    opcode = property(lambda self: self.flags >> 11 & 15)

    def has(self, flag):
        return bool(self.flags & flag)

    def records(self):
        return self.answer + self.authority + self.additional

    def opt(self):
        return next((r for r in self.additional if r.type == OPT), None)

    def wire(self):
        """The uncompressed encoding."""
        out = struct.pack("!HHHHHH", self.id, self.flags, len(self.question), len(self.answer),
                          len(self.authority), len(self.additional))
        for labels, qtype, qclass in self.question:
            out += name_wire(labels) + struct.pack("!HH", qtype, qclass)
        return out + b"".join(r.wire() for r in self.records())

    def __str__(self):
        flags = [n for n, f in (("qr", QR), ("aa", AA), ("tc", TC), ("rd", RD), ("ra", RA), ("ad", AD), ("cd", CD))
                 if self.flags & f]
        lines = ["id=%04x op=%d rcode=%d %s size=%d" % (self.id, self.opcode, self.rcode, ",".join(flags), self.size)]
        lines += ["  Q  %s %d %d" % (name_text(n), t, c) for n, t, c in self.question]
        for title, section in (("AN", self.answer), ("NS", self.authority), ("AR", self.additional)):
            lines += ["  %s %r" % (title, r) for r in section[:12]]
            if len(section) > 12:
                lines.append("  %s ... %d in all" % (title, len(section)))
        return "\n".join(lines)


def _read_name(data, at):
    labels, jumped, end, size = [], False, at, 0
    while True:
        if at >= len(data):
            raise Malformed("name runs past the end")
        n = data[at]
        if n & 0xC0 == 0xC0:
            if at + 1 >= len(data):
                raise Malformed("half a pointer")
            target = (n & 0x3F) << 8 | data[at + 1]
            if not jumped:
                end = at + 2
            if target >= at:
                raise Malformed("pointer not backwards")
            at, jumped = target, True
            continue
        if n & 0xC0:
            raise Malformed("label type %#x" % n)
        at += 1
        if n == 0:
            return tuple(labels), (end if jumped else at)
        size += n + 1
        if at + n > len(data) or size > 254:
            raise Malformed("label past the end or name too long")
        labels.append(bytes(data[at:at + n]))
        at += n


def _read_rr(data, at):
    owner, at = _read_name(data, at)
    if at + 10 > len(data):
        raise Malformed("record header past the end")
    rtype, rclass, ttl, size = struct.unpack_from("!HHIH", data, at)
    at += 10
    end = at + size
    if end > len(data):
        raise Malformed("record data past the end")
    if rtype in (PTR, NS):
        target, stop = _read_name(data, at)
        value = (target,)
    elif rtype == SRV:
        target, stop = _read_name(data, at + 6)
        value = struct.unpack_from("!HHH", data, at) + (target,)
    elif rtype == SOA:
        mname, stop = _read_name(data, at)
        rname, stop = _read_name(data, stop)
        value = (mname, rname) + struct.unpack_from("!IIIII", data, stop)
        stop += 20
    elif rtype == TXT:
        strings, stop = [], at
        while stop < end:
            strings.append(bytes(data[stop + 1:stop + 1 + data[stop]]))
            stop += 1 + data[stop]
        value = tuple(strings)
    else:
        value, stop = bytes(data[at:end]), end
    if stop != end:
        raise Malformed("record data of type %d has the wrong length" % rtype)
    return RR(owner, rtype, rclass, ttl, value), end


def decode(data):
    """Strict: every count must be met and no byte may be left over."""
    if len(data) < 12:
        raise Malformed("%d bytes are no DNS message" % len(data))
    m = Message()
    m.size = len(data)
    m.id, m.flags, qd, an, ns, ar = struct.unpack_from("!HHHHHH", data)
    at = 12
    for _ in range(qd):
        labels, at = _read_name(data, at)
        if at + 4 > len(data):
            raise Malformed("question past the end")
        m.question.append((labels,) + struct.unpack_from("!HH", data, at))
        at += 4
    for section, count in ((m.answer, an), (m.authority, ns), (m.additional, ar)):
        for _ in range(count):
            rr, at = _read_rr(data, at)
            section.append(rr)
    if at != len(data):
        raise Malformed("%d bytes after the message" % (len(data) - at))
    return m


def query(qname, qtype, qclass=IN, qid=0x1234, flags=RD, edns=None, options=b"", edns_flags=0):
    """`edns` is the UDP size to offer, None for no OPT."""
    labels = name(qname) if isinstance(qname, str) else qname
    out = struct.pack("!HHHHHH", qid, flags, 1, 0, 0, 0 if edns is None else 1)
    out += name_wire(labels) + struct.pack("!HH", qtype, qclass)
    if edns is not None:
        out += b"\0" + struct.pack("!HHIH", OPT, edns, edns_flags, len(options)) + options
    return out


def peer_label(key):
    """A WireGuard public key (bytes or base64) as wgsd writes it: padded base32, lower case."""
    raw = key if isinstance(key, bytes) else base64.b64decode(key)
    return base64.b32encode(raw).decode().lower()


def ask_udp(server, data, timeout=2.0, source=None):
    """One datagram, one reply or None. `server` is (host, port). The reply must come from the address asked."""
    family = socket.AF_INET6 if ":" in server[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as s:
        s.settimeout(timeout)
        if source:
            s.bind(source)
        s.connect(server)
        try:
            s.send(data)
            return s.recv(65535)
        except (socket.timeout, ConnectionRefusedError):
            return None


def read_exactly(s, size):
    out = b""
    while len(out) < size:
        part = s.recv(size - len(out))
        if not part:
            raise EOFError("connection closed after %d of %d bytes" % (len(out), size))
        out += part
    return out


def frame(data):
    return struct.pack("!H", len(data)) + data


def read_frame(s):
    return read_exactly(s, struct.unpack("!H", read_exactly(s, 2))[0])


def ask_tcp(server, data, timeout=2.0):
    """One query on a connection of its own; None if the server closes or stays silent."""
    try:
        with socket.create_connection(server, timeout) as s:
            s.settimeout(timeout)
            s.sendall(frame(data))
            return read_frame(s)
    except (socket.timeout, EOFError, ConnectionResetError):
        return None
