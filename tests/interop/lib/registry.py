"""Runs a registry server (warrend, or an etcd given with --server) as a process that may be killed at any moment, and
the client of the crash suites (crash/client), which knows what the server acknowledged.

Servers take etcd's flags; nothing else of them is assumed, except where is_warrend is asked.
"""
import argparse
import json
import os
import random
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import daemon

SLOWNESS = float(os.environ.get("WARREN_TEST_SLOWNESS", "1"))
START_LIMIT_S = 20 * SLOWNESS
STOP_LIMIT_S = 20 * SLOWNESS
HERE = os.path.dirname(os.path.abspath(__file__))
CLIENT_SOURCE = os.path.join(HERE, "..", "crash", "client")


def arguments(description, **defaults):
    """The parser of the options that all crash suites have."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--server", metavar="CMD", help="the server's command line (default: the built warrend)")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 31))
    parser.add_argument("--keep", metavar="DIR", help="where data directories of failed cases are copied to")
    parser.add_argument("--no-dns", action="store_true", help="give warrend no Corefile, and ask no DNS")
    parser.add_argument("-v", "--verbose", action="store_true")
    return parser


def build_client():
    """The path of the crash client, built from the Go module proxy by ordinary go commands; exits with 77 where that
    cannot be."""
    if shutil.which("go") is None:
        print("skipped: no go command to build the client with")
        sys.exit(77)
    import hashlib
    digest = hashlib.sha256()
    for name in sorted(os.listdir(CLIENT_SOURCE)):
        with open(os.path.join(CLIENT_SOURCE, name), "rb") as f:
            digest.update(name.encode() + b"\0" + f.read())
    cache = os.path.join(os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache")), "warren", "crash")
    path = os.path.join(cache, "client-" + digest.hexdigest()[:16])
    if os.access(path, os.X_OK):
        return path
    os.makedirs(cache, exist_ok=True)
    proxy = subprocess.run(["go", "env", "GOPROXY"], stdout=subprocess.PIPE, text=True).stdout.strip()
    # The proxy alone: no falling back to a module's own repository.
    proxy = ",".join(p for p in proxy.replace("|", ",").split(",") if p != "direct") or "off"
    env = dict(os.environ, GOPROXY=proxy, GOFLAGS="-buildvcs=false -mod=readonly", CGO_ENABLED="0")
    fetched = subprocess.run(["go", "mod", "download"], cwd=CLIENT_SOURCE, env=env, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True)
    if fetched.returncode:
        print("skipped: the client's modules are not to be had: " + fetched.stdout.strip()[-300:])
        sys.exit(77)
    partial = "%s.%d" % (path, os.getpid())
    built = subprocess.run(["go", "build", "-trimpath", "-o", partial, "."], cwd=CLIENT_SOURCE, env=env,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if built.returncode:
        sys.exit("the client does not build:\n" + built.stdout)
    os.rename(partial, path)
    return path


class Client:
    """A client process; its memory of what was acknowledged lives as long as it does."""

    def __init__(self, path, arguments=()):
        self.process = subprocess.Popen([path] + list(arguments), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, cmd, **fields):
        self.process.stdin.write(json.dumps(dict(fields, cmd=cmd)) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("the client ended with exit code %s at %s" % (self.process.wait(), cmd))
        reply = json.loads(line)
        if "error" in reply:
            raise RuntimeError("%s: %s" % (cmd, reply["error"]))
        return reply

    def close(self):
        self.process.stdin.close()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def http_status(url, timeout=2.0):
    """(status, body) of a GET, or (None, reason)."""
    try:
        with urllib.request.urlopen(url, timeout=timeout) as reply:
            return reply.status, reply.read().decode("utf-8", "replace")
    except urllib.error.HTTPError as e:
        return e.code, e.read().decode("utf-8", "replace")
    except (OSError, ValueError) as e:
        return None, str(e)


class Server:
    """A server on one data directory; started and killed as often as wanted, always on the same ports.

    Its standard error and output go to LOG, which begins anew with every start."""

    def __init__(self, command, data, log, corefile=None, env=None, user=None, prefix=(), flags=()):
        self.command = shlex.split(command) if command else [daemon.program("warrend")]
        if "/" in self.command[0]:
            self.command[0] = os.path.abspath(self.command[0])
        self.is_warrend = os.path.basename(self.command[0]) == "warrend"
        self.data, self.log, self.env, self.user = data, log, env or {}, user
        self.prefix, self.flags = list(prefix), list(flags)
        self.base = daemon.free_ports(4)
        self.url = "http://127.0.0.1:%d" % self.base
        self.dns = ("127.0.0.1", self.base + 2)
        self.corefile = corefile if self.is_warrend else None
        self.process = None

    def arguments(self):
        peer = "http://127.0.0.1:%d" % (self.base + 1)
        out = ["--name", "n1", "--data-dir", self.data, "--listen-client-urls", self.url,
               "--advertise-client-urls", self.url, "--listen-peer-urls", peer,
               "--initial-advertise-peer-urls", peer, "--initial-cluster", "n1=" + peer] + self.flags
        if self.corefile:
            out += ["-conf", self.corefile, "-dns.port", str(self.dns[1])]
        return out

    def spawn(self):
        """Starts the process and does not wait for anything."""
        env = {k: v for k, v in os.environ.items() if not k.startswith(("ETCD_", "WARREN_", "STATE_DIRECTORY"))}
        env.update(self.env)
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(self.prefix + self.command + self.arguments(), stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, env=env, user=self.user, group=self.user,
                                            extra_groups=[] if self.user else None, cwd=os.path.dirname(self.log))

    def serves(self):
        """Whether it answers requests; its health is another question."""
        return http_status(self.url + "/version", 1.0)[0] == 200 and http_status(self.url + "/health", 1.0)[0] is not None

    def wait(self, limit=None):
        """None once it serves; else the exit code, or "silent" if it neither serves nor ends in time."""
        deadline = time.monotonic() + (limit or START_LIMIT_S)
        while time.monotonic() < deadline:
            code = self.process.poll()
            if code is not None:
                return code
            if self.serves():
                return None
            time.sleep(0.01)
        return "silent"

    def start(self):
        self.spawn()
        code = self.wait()
        if code is not None:
            self.kill()
            raise RuntimeError("the server did not start (%s):\n%s" % (code, self.said()))
        return self

    def said(self, size=3000):
        try:
            with open(self.log, "rb") as f:
                return f.read().decode("utf-8", "replace")[-size:]
        except FileNotFoundError:
            return ""

    def running(self):
        return self.process is not None and self.process.poll() is None

    def kill(self):
        """kill -9; returns how the process ended."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        return self.process.wait()

    def stop(self):
        """SIGTERM; the exit code, or a text if it had to be killed."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self.kill()
            return "killed: did not stop within %g s" % STOP_LIMIT_S

    def health(self):
        return http_status(self.url + "/health")

    def check(self):
        """`warrend -check` of the data directory: (exit code, what it said)."""
        done = subprocess.run(self.command + ["-check", "--data-dir", self.data], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60 * SLOWNESS)
        return done.returncode, done.stdout.decode("utf-8", "replace")


def keep(folder, data, name):
    """Copies a data directory for a look at it later; the text to add to a complaint."""
    if not folder:
        return ""
    target = os.path.join(folder, name)
    shutil.rmtree(target, ignore_errors=True)
    if os.path.isdir(data):
        shutil.copytree(data, target)
    else:
        shutil.copy(data, target)
    return "\nkept: " + target
