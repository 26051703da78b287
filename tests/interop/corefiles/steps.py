"""What a case does to a running program, and what it writes down about it. Steps:

    udp|tcp [HOST]:PORT NAME TYPE [OPTION...]
                            asks and notes the reply's bytes. HOST is 127.0.0.1 without. Options: class=CH id=N
                            op=N edns=SIZE do nsid cookie version=N flags=HEX norec cd ad, notimeout=SECONDS
    raw udp|tcp [HOST]:PORT HEX
    http [HOST]:PORT PATH   notes status, content type and body
    metrics [HOST]:PORT     notes the metrics: names, labels, and the values that do not depend on time
    put FILE TEXT           writes a file of the case (escapes are read)
    signal NAME
    wait TEXT               until TEXT is on stdout (or stderr), at most 10 s
    sleep SECONDS
    device NAME gone|back   takes a WireGuard device away, or puts it back

Client ports count up from 40001, so log lines agree between programs.
"""
import os
import re
import signal
import socket
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import device
import dns

KEYS = {"@1": b"\1" + b"\0" * 31, "@2": b"\2" + b"\0" * 31, "@3": b"\3" + b"\0" * 31, "@4": b"\4" + b"\0" * 31,
        "@self": bytes.fromhex("a4e09292b651c278b9772c569f5fa9bb13d906b46ab68c9df9dc2b4409f8a209")}
LABELS = {name: dns.peer_label(key) for name, key in KEYS.items()}
TYPES = {"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "PTR": 12, "HINFO": 13, "MX": 15, "TXT": 16, "AAAA": 28, "SRV": 33,
         "NAPTR": 35, "DS": 43, "AXFR": 252, "ANY": 255}
REPLY_TIMEOUT_S = 1.0

# wg0: a peer with a v4 endpoint, one with v6, one without, and one with 12 allowed IPs; wg1 has none; wg2 has no key.
DEVICES = {
    "wg0": device.device_text([
        device.peer_text(KEYS["@1"], "1.1.1.1:1", ["10.0.0.1/32", "10.0.0.2/32"], 1),
        device.peer_text(KEYS["@2"], "[2001:db8::2]:2", ["10.0.0.3/32", "fd00::/64"]),
        device.peer_text(KEYS["@3"], None, ["10.0.0.5/32"]),
        device.peer_text(KEYS["@4"], "4.4.4.4:4", ["10.200.100.%d/32" % i for i in range(100, 112)]),
    ]),
    "wg1": device.device_text([]),
}


def parse_address(text):
    host, _, port = text.rpartition(":")
    return (host.strip("[]") or "127.0.0.1", int(port))


def build_query(words):
    qname, qtype = words[0], words[1]
    for label, key in LABELS.items():
        qname = qname.replace(label, key).replace(label.upper(), key.upper())
    options = dict(w.partition("=")[::2] for w in words[2:])
    flags = int(options["flags"], 16) if "flags" in options else 0 if "norec" in options else dns.RD
    flags |= (dns.CD if "cd" in options else 0) | (dns.AD if "ad" in options else 0) | int(options.get("op", 0)) << 11
    edns = int(options.get("edns", 1232)) if {"edns", "do", "nsid", "cookie", "version"} & set(options) else None
    body = (b"\0\3\0\0" if "nsid" in options else b"") + (b"\0\12\0\10abcdefgh" if "cookie" in options else b"")
    edns_flags = (0x8000 if "do" in options else 0) | int(options.get("version", 0)) << 16
    number = TYPES[qtype] if qtype in TYPES else int(qtype.replace("TYPE", ""))
    qclass = {"IN": 1, "CH": 3, "HS": 4, "ANY": 255}[options.get("class", "IN")]
    labels = tuple(p.encode() for p in qname.rstrip(".").split(".") if p)
    out = dns.query(labels, number, qclass, int(options.get("id", 4660)), flags)
    if edns is None:
        return out
    return out[:11] + b"\1" + out[12:] + b"\0" + struct.pack("!HHIH", dns.OPT, edns, edns_flags, len(body)) + body


def describe(reply):
    if reply is None:
        return "no reply"
    try:
        return "%s\n%s" % (reply.hex(), dns.decode(reply))
    except (dns.Malformed, struct.error, IndexError):
        return reply.hex()


TIMED = re.compile(r"^coredns_\w*(duration_seconds|version_info|process_|go_)")


def read_metrics(text):
    """Sorted lines: HELP and TYPE as they are, samples with the value where the clock has no say in it."""
    lines = set()
    for line in text.splitlines():
        if not line or line.startswith("#"):
            lines.add(line)
            continue
        sample, _, value = line.rpartition(" ")
        timed = TIMED.match(line) and not re.match(r"\w*duration_seconds_count", line)
        lines.add(sample if timed or not line.startswith("coredns_") else line)
    return "\n".join(sorted(lines))


class Runner:
    """Runs steps against one started daemon. `notes` gets one text per step that observes something."""

    def __init__(self, daemon, folder, sockets):
        self.daemon, self.folder, self.sockets = daemon, folder, sockets
        self.port = 40000
        self.notes = []
        self.devices = {}

    def open_devices(self):
        for name, text in DEVICES.items():
            self.devices[name] = device.FakeDevice(self.sockets, name, text)

    def ask(self, proto, address, data, timeout):
        """The port is ours for sure: nobody else is in this namespace."""
        self.port += 1
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        own = ("::" if family == socket.AF_INET6 else "0.0.0.0", self.port)
        kind = socket.SOCK_DGRAM if proto == "udp" else socket.SOCK_STREAM
        with socket.socket(family, kind) as s:
            s.settimeout(timeout)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(own)
                s.connect(address)
                s.sendall(data if proto == "udp" else dns.frame(data))
                return s.recv(65535) if proto == "udp" else dns.read_frame(s)
            except (socket.timeout, EOFError, ConnectionError):
                return None

    def step_query(self, words):
        timeout = float(dict(w.partition("=")[::2] for w in words[4:]).get("notimeout", REPLY_TIMEOUT_S))
        self.notes.append(describe(self.ask(words[0], parse_address(words[1]), build_query(words[2:]), timeout)))

    step_udp = step_tcp = step_query

    def step_raw(self, words):
        self.notes.append(describe(self.ask(words[1], parse_address(words[2]), bytes.fromhex(words[3]), REPLY_TIMEOUT_S)))

    def fetch(self, address, path):
        """Status, content type and body of a GET; HTTP/1.0, so that the body ends with the connection."""
        with socket.create_connection(address, 5) as s:
            s.sendall(("GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n" % path).encode())
            data = b""
            while part := s.recv(65536):
                data += part
        head, _, body = data.partition(b"\r\n\r\n")
        kind = re.search(rb"(?im)^content-type: (.*?)\r?$", head)
        return head.split(b" ", 2)[1].decode(), kind[1].decode() if kind else "", body.decode("utf-8", "replace")

    def fetch_when_up(self, address, path):
        for attempt in range(50):
            try:
                return self.fetch(address, path)
            except OSError as e:
                failure = e
                time.sleep(0.05)
        return str(failure), "", ""

    def step_http(self, words):
        self.notes.append("\n".join(self.fetch_when_up(parse_address(words[1]), words[2])))

    def step_metrics(self, words):
        time.sleep(0.1)  # counters move after the reply
        status, _, body = self.fetch_when_up(parse_address(words[1]), "/metrics")
        self.notes.append("METRICS %s\n%s" % (status, read_metrics(body)))

    def step_put(self, words):
        text = " ".join(words[2:]).encode().decode("unicode_escape")
        path = os.path.join(self.folder, words[1])
        with open(path + ".new", "w") as f:
            f.write(text)
        os.rename(path + ".new", path)

    def step_signal(self, words):
        self.daemon.signal(getattr(signal, "SIG" + words[1]))

    def step_wait(self, words):
        text, deadline = " ".join(words[1:]), time.monotonic() + 10
        while text not in self.daemon.out + self.daemon.err and time.monotonic() < deadline:
            time.sleep(0.02)
        self.notes.append("seen" if text in self.daemon.out + self.daemon.err else "not seen: " + text)

    def step_sleep(self, words):
        time.sleep(float(words[1]))

    def step_device(self, words):
        if words[2] == "gone":
            self.devices.pop(words[1]).close()
        else:
            self.devices[words[1]] = device.FakeDevice(self.sockets, words[1], DEVICES[words[1]])
        time.sleep(1.2)  # Warren reads devices in the background

    def run(self, steps):
        for step in steps:
            words = step.split()
            getattr(self, "step_" + words[0])(words)
