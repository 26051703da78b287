"""Runs warrend (or the reference CoreDNS) for a test: starts it, waits until it serves, keeps its log, stops it.

Programs come from $WARREN_BUILD, a meson build folder (default: build/plain, as tools/test makes it, else build).
"""
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import dns

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
BUILDS = [os.path.join(ROOT, "build", "plain"), os.path.join(ROOT, "build")]
BUILD = os.path.abspath(os.environ.get("WARREN_BUILD") or next(
    (b for b in BUILDS if os.path.exists(os.path.join(b, "warrend"))), BUILDS[0]))


def program(name):
    """The path of a built program; the test cannot go on without it."""
    path = os.path.join(BUILD, name)
    if not os.access(path, os.X_OK):
        sys.exit("%s is not built; build it, or name a build folder in WARREN_BUILD" % path)
    return path


def shared(*parts):
    """A file of the shared material ($WARREN_SHARED, or ../shared beside the source tree), or None."""
    path = os.path.join(os.environ.get("WARREN_SHARED", os.path.join(ROOT, "..", "shared")), *parts)
    return path if os.path.exists(path) else None


def reference_coredns(build=False):
    """The reference CoreDNS 1.11.1: $WARREN_COREDNS, else (if asked to BUILD it) what oracle/build-coredns makes with Go
    and its module proxy; None if there is none."""
    path = os.environ.get("WARREN_COREDNS", "")
    if not path and build:
        script = os.path.join(ROOT, "tests", "interop", "oracle", "build-coredns")
        done = subprocess.run([script], stdout=subprocess.PIPE, text=True)
        path = done.stdout.split("\n")[-2] if done.returncode == 0 else ""
        os.environ["WARREN_COREDNS"] = path
    return path if os.access(path, os.X_OK) else None


def free_ports(count):
    """COUNT consecutive ports that nobody has on UDP or TCP, v4 or v6, wildcard or loopback."""
    for base in range(20000 + os.getpid() % 97 * 100, 60000, 100):
        held = []
        try:
            for port in range(base, base + count):
                for family, any_address in ((socket.AF_INET6, "::"), (socket.AF_INET, "0.0.0.0")):
                    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
                        s = socket.socket(family, kind)
                        held.append(s)
                        if family == socket.AF_INET6:
                            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                        s.bind((any_address, port))
            return base
        except OSError:
            continue
        finally:
            for s in held:
                s.close()
    raise RuntimeError("no %d consecutive free ports" % count)


class Daemon:
    """One running daemon. `out` and `err` grow as it prints; wait_out() waits for a text."""

    def __init__(self, args, binary=None, env=None, cwd=None, stdin=None, preexec=None, prefix=()):
        self.out, self.err = "", ""
        environment = dict(os.environ)
        environment.update(env or {})
        self.process = subprocess.Popen(list(prefix) + [binary or program("warrend")] + list(args), env=environment, cwd=cwd,
                                        stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=preexec)
        if stdin is not None:
            self.process.stdin.write(stdin)
            self.process.stdin.close()
        self._readers = [threading.Thread(target=self._read, args=("out", self.process.stdout), daemon=True),
                         threading.Thread(target=self._read, args=("err", self.process.stderr), daemon=True)]
        for t in self._readers:
            t.start()

    pid = property(lambda self: self.process.pid)

    def _read(self, which, stream):
        while True:
            part = os.read(stream.fileno(), 65536)
            if not part:
                return
            setattr(self, which, getattr(self, which) + part.decode("utf-8", "replace"))

    def running(self):
        return self.process.poll() is None

    def wait_out(self, text, timeout=10.0, count=1):
        """Whether TEXT shows up COUNT times on stdout in time."""
        deadline = time.monotonic() + timeout
        while self.out.count(text) < count:
            if time.monotonic() > deadline or (not self.running() and not self._readers[0].is_alive()):
                return self.out.count(text) >= count
            time.sleep(0.01)
        return True

    def wait_exit(self, timeout=10.0):
        """The exit code (negative: the signal), or None if it still runs."""
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None
        for t in self._readers:
            t.join(2)
        return code

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self, timeout=10.0):
        """SIGTERM, then SIGKILL; the exit code."""
        if self.running():
            self.process.send_signal(signal.SIGTERM)
        code = self.wait_exit(timeout)
        if code is None:
            self.process.kill()
            self.wait_exit()
            return "killed: did not stop within %g s" % timeout
        return code


class Scratch:
    """A temporary folder with files in it, removed at the end. Its `sockets` folder is for fake devices."""

    def __init__(self):
        self._folder = tempfile.TemporaryDirectory(prefix="warren-test.")
        self.path = self._folder.name
        os.chmod(self.path, 0o755)
        self.sockets = os.path.join(self.path, "sockets")
        os.mkdir(self.sockets)

    def file(self, name, text):
        path = os.path.join(self.path, name)
        with open(path, "w") as f:
            f.write(text)
        return path

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._folder.cleanup()


def listens(host, port):
    """Whether a TCP connection is accepted."""
    try:
        socket.create_connection((host, port), 1).close()
        return True
    except OSError:
        return False


def answers(host, port):
    """Whether TCP is accepted and something comes back over UDP, be it REFUSED."""
    return listens(host, port) and dns.ask_udp((host, port), dns.query("ready.test.", dns.A), 1) is not None


def start(args, ports, host="127.0.0.1", timeout=15.0, **kwargs):
    """A Daemon that answers on every one of PORTS (numbers, or (host, port) pairs), or a SystemExit that shows what it
    said instead."""
    d = Daemon(args, **kwargs)
    deadline = time.monotonic() + timeout
    for port in ports:
        where = port if isinstance(port, tuple) else (host, port)
        while not answers(*where):
            if not d.running() or time.monotonic() > deadline:
                code = d.stop()
                sys.exit("%s did not answer on %s:%d (exit code %s)\nstdout: %s\nstderr: %s"
                         % (" ".join(d.process.args), where[0], where[1], code, d.out, d.err))
            time.sleep(0.02)
    return d
