"""Starts a server that takes etcd's flags: Debian's etcd, or whatever `--server` names."""
import contextlib
import os
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.request

SLOWNESS = float(os.environ.get("WARREN_TEST_SLOWNESS", "1"))
START_LIMIT_S = 30 * SLOWNESS
STOP_LIMIT_S = 15 * SLOWNESS
_ports_lock = threading.Lock()
_ports_given = set()


def free_port():
    """A loopback port below the range that outgoing connections get theirs from; never given out twice."""
    with _ports_lock:
        for port in range(10000 + os.getpid() * 37 % 20000, 32000):
            if port in _ports_given:
                continue
            with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as s:
                with contextlib.suppress(OSError):
                    s.bind(("127.0.0.1", port))
                    _ports_given.add(port)
                    return port
        _ports_given.clear()
    raise RuntimeError("no free port")


class Failed(Exception):
    """The server does not start, or ended by itself."""


class Server:
    """One server with a data directory of its own, removed by close()."""

    def __init__(self, command, flags=""):
        self.command = shlex.split(command) if isinstance(command, str) else list(command)
        self.flags = shlex.split(flags)
        self.folder = tempfile.mkdtemp(prefix="warren-etcd.")
        self.port, self.peer_port = free_port(), free_port()
        self.process = None
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith(("ETCD", "WARREN_"))}

    url = property(lambda self: "http://127.0.0.1:%d" % self.port)
    peer_url = property(lambda self: "http://127.0.0.1:%d" % self.peer_port)
    log = property(lambda self: os.path.join(self.folder, "log"))

    def start(self):
        data = os.path.join(self.folder, "data")
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                self.command + ["--name", "n1", "--data-dir", data, "--listen-client-urls", self.url,
                                "--advertise-client-urls", self.url, "--listen-peer-urls", self.peer_url,
                                "--initial-advertise-peer-urls", self.peer_url,
                                "--initial-cluster", "n1=" + self.peer_url] + self.flags,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder, env=self.environment,
                start_new_session=True)
        deadline = time.monotonic() + START_LIMIT_S
        while not self.healthy():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise Failed("%s did not start (exit code %s):\n%s" % (self.command[0], self.process.returncode, self.said()))
            time.sleep(0.02)
        return self

    def healthy(self):
        try:
            with urllib.request.urlopen(self.url + "/health", timeout=2) as reply:
                return reply.status == 200
        except (OSError, ValueError):
            return False

    def said(self, size=1500):
        with open(self.log, "rb") as f:
            return f.read()[-size:].decode("utf-8", "replace")

    def running(self):
        return self.process is not None and self.process.poll() is None

    def stop(self):
        """SIGTERM; the exit code, or "killed" if that did not do."""
        if self.running():
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self.kill()
            return "killed"

    def kill(self):
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def close(self):
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.close()
