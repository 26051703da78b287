"""Runs the steps of one case against one server. A step is a line:

    ARG... [<< TEXT]        runs etcdctl with these arguments (shell quoting) and, with `<<`, TEXT as its standard input;
                            noted: its standard output, standard error and exit code
    & ARG... [<< TEXT]      starts it (with `<<`, its standard input stays open), and waits until the server has sent a
                            message (a watch has then been created) or it has ended
    type TEXT               to the standard input of the last one started; and waits for one more message
    lines N                 until the last one started has printed N lines; and a moment more, for what should not come
    join                    waits for the end of the last one started, and notes as above
    stop                    the same after SIGINT; the case's end does it for those still there
    sleep S                 S seconds
    until ARG... == TEXT    repeats an etcdctl command for up to 15 s until its standard output is TEXT; not noted
    restart | kill          stops the server with SIGTERM or SIGKILL and starts it again on the same data
    http METHOD PATH [BODY] noted: status, content type and body

In arguments \\xNN stands for a byte; in what follows `<<` and in TEXT all of Python's escapes do. `@fill:N` is N times
`x`, `@gets:N` a transaction of N gets. $L1, $L2... are the leases that the server has named, in order, hexadecimal ($LD1: decimal); $M is its member id, $E
its client address.
"""
import re
import shlex
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

import normal
from etcdserver import SLOWNESS
from tap import Tap

COMMAND_LIMIT_S = 30 * SLOWNESS
MESSAGE_LIMIT_S = 5 * SLOWNESS
SETTLE_S = 0.15 * SLOWNESS
BYTE = re.compile(r"\\x([0-9a-fA-F]{2})")
FILL = re.compile(r"@fill:(\d+)")
GETS = re.compile(r"@gets:(\d+)")


def _fill(text):
    text = GETS.sub(lambda m: "\n" + "get a\n" * int(m[1]) + "\n\n", text)
    return FILL.sub(lambda m: "x" * int(m[1]), text)


def _argument(text):
    """An argument's bytes."""
    return BYTE.sub(lambda m: chr(int(m[1], 16)), _fill(text)).encode("latin1") if BYTE.search(text) else _fill(text).encode()


def _escaped(text):
    return _fill(text).encode("latin1", "backslashreplace").decode("unicode_escape").encode("latin1")


class Job:
    """An etcdctl in the background."""

    def __init__(self, step, process, tap, out, err):
        self.step, self.process, self.tap, self.out, self.err = step, process, tap, out, err

    def wait_message(self, count):
        deadline = time.monotonic() + MESSAGE_LIMIT_S
        while self.tap.messages() < count and self.process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)

    def line_count(self):
        with open(self.out.name, "rb") as f:
            return f.read().count(b"\n")


class Steps:
    def __init__(self, server, etcdctl):
        self.server, self.etcdctl = server, etcdctl
        self.normal = normal.Normal(server)
        self.notes, self.jobs = [], []
        self.stdin_folder = tempfile.TemporaryDirectory(prefix="warren-steps.")

    def run(self, steps):
        """The notes of these steps: (step, what, text) each."""
        self.notes = []
        try:
            for step in steps:
                self.step(step)
            while self.jobs:
                self._stop("stop", signal.SIGINT)
        finally:
            for job in self.jobs:
                job.process.kill()
                job.process.wait()
                job.tap.close()
            self.jobs = []
        return self.notes

    def step(self, step):
        word, _, rest = step.strip().partition(" ")
        rest = self.normal.variables(rest)
        if word == "&":
            self._start(step, rest)
        elif word == "type":
            self._type(rest)
        elif word == "lines":
            self._lines(int(rest))
        elif word in ("join", "stop"):
            self._stop(step, signal.SIGINT if word == "stop" else None)
        elif word == "sleep":
            time.sleep(float(rest))
        elif word == "until":
            self._until(rest)
        elif word in ("restart", "kill") and not rest:
            self._restart(word)
        elif word == "http":
            self._http(step, rest)
        else:
            self._note(step, *self._run(self.normal.variables(step)))

    def _note(self, step, out, err, code):
        out, err = self.normal(out), self.normal(err)
        self.notes += [(step, "stdout", out), (step, "stderr", err), (step, "exit", str(code))]

    def _parse(self, text, port):
        text, mark, stdin = text.partition(" <<")
        stdin = _escaped(stdin.removeprefix(" ")) if mark else None
        words = shlex.split(text)
        where = [] if any(w.startswith("--endpoints") for w in words) else ["--endpoints=127.0.0.1:%d" % port]
        return [self.etcdctl] + where + [_argument(w) for w in words], stdin

    def _run(self, text):
        argv, stdin = self._parse(text, self.server.port)
        try:
            done = subprocess.run(argv, input=stdin if stdin is not None else b"", capture_output=True, cwd=self.server.folder,
                                  env=self.server.environment, timeout=COMMAND_LIMIT_S, check=False)
        except subprocess.TimeoutExpired as e:
            return e.stdout or b"", e.stderr or b"", "not done after %g s" % COMMAND_LIMIT_S
        return done.stdout, done.stderr, done.returncode

    def _start(self, step, text):
        tap = Tap(self.server.port)
        argv, stdin = self._parse(text, tap.port)
        self.normal.ports.append(tap.port)
        out = tempfile.NamedTemporaryFile(dir=self.stdin_folder.name)
        err = tempfile.NamedTemporaryFile(dir=self.stdin_folder.name)
        process = subprocess.Popen(argv, stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL, stdout=out,
                                   stderr=err, cwd=self.server.folder, env=self.server.environment)
        job = Job(step, process, tap, out, err)
        self.jobs.append(job)
        if stdin:
            process.stdin.write(stdin)
            process.stdin.flush()
        if stdin != b"":
            job.wait_message(1)

    def _type(self, text):
        job = self.jobs[-1]
        before = job.tap.messages()
        job.process.stdin.write(_escaped(text))
        job.process.stdin.flush()
        job.wait_message(before + 1)

    def _lines(self, count):
        job = self.jobs[-1]
        deadline = time.monotonic() + 2 * MESSAGE_LIMIT_S
        while job.line_count() < count and job.process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(SETTLE_S)

    def _stop(self, step, number):
        job = self.jobs.pop()
        if number is not None:
            job.process.send_signal(number)
        try:
            code = job.process.wait(2 * MESSAGE_LIMIT_S)
        except subprocess.TimeoutExpired:
            job.process.kill()
            job.process.wait()
            code = "does not end"
        if job.process.stdin is not None:
            job.process.stdin.close()
        job.tap.close()
        with open(job.out.name, "rb") as out, open(job.err.name, "rb") as err:
            self._note(job.step, out.read(), err.read(), code)

    def _until(self, text):
        command, _, wanted = text.partition(" == ")
        deadline = time.monotonic() + 15 * SLOWNESS
        while self._run(command)[0] != _escaped(wanted) and time.monotonic() < deadline:
            time.sleep(0.1)

    def _restart(self, how):
        if how == "kill":
            self.server.kill()
        else:
            code = self.server.stop()
            if code == "killed":
                self.notes.append((how, "exit", "does not stop"))
        self.server.start()

    def _http(self, step, text):
        method, path, *body = shlex.split(text)
        request = urllib.request.Request(self.server.url + path, method=method, data=body[0].encode() if body else None)
        try:
            with urllib.request.urlopen(request, timeout=10 * SLOWNESS) as reply:
                status, kind, data = reply.status, reply.headers.get("Content-Type"), reply.read()
        except urllib.error.HTTPError as e:
            status, kind, data = e.code, e.headers.get("Content-Type"), e.read()
        except OSError as e:
            status, kind, data = "none", "", str(e).encode()
        self.notes.append((step, "http", "%s %s\n%s" % (status, kind, self.normal(data))))
