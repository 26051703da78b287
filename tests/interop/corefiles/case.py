"""Reads the case files. A file holds cases one after the other:

    == NAME                      starts a case; its full name is FILE/NAME
    args: ARG...                 the program's arguments instead of `-conf Corefile`
    env: NAME=VALUE              (escapes like \\n are understood); may repeat
    expect: start | exit N       what CoreDNS must do: a case that stops covering what it is about fails.
                                 Default: start if the case has steps, else exit 1
    -- Corefile [escaped]        the lines up to the next section; `escaped`: \\xNN, \\n, \\\\ are read, line ends
                                 are dropped
    -- file NAME [escaped]       another file beside it
    -- steps                     one step a line, see steps.py

`@1` to `@3` and `@self` in a step stand for the labels of the test device's keys. Lines that start with `#` between
sections and in steps are comments.
"""
import os
import shlex


class Case:
    def __init__(self, name, path, line):
        self.name, self.path, self.line = name, path, line
        self.args = ["-conf", "Corefile"]
        self.env, self.files, self.steps = {}, {}, []
        self.expect = None

    def starts(self):
        return self.expect == "start"

    def exit_code(self):
        return 0 if self.starts() else int(self.expect.split()[1])


def _unescape(text):
    return text.encode("latin1", "backslashreplace").decode("unicode_escape").encode("latin1")


def _header(case, line):
    key, _, value = line.partition(":")
    value = value.strip()
    if key == "args":
        case.args = shlex.split(value)
    elif key == "env":
        name, _, text = value.partition("=")
        case.env[name] = _unescape(text).decode()
    elif key == "expect":
        case.expect = value
    else:
        raise ValueError("%s:%d: unknown header %r" % (case.path, case.line, key))


def _sections(path):
    """(line number, kind, title, lines) of each part that starts with `==` or `--`."""
    part = None
    with open(path, encoding="utf-8", newline="\n") as f:
        for number, line in enumerate(f, 1):
            line = line.rstrip("\n")
            if line.startswith(("== ", "-- ")):
                if part:
                    yield part
                part = (number, line[:2], line[3:].strip(), [])
            elif part:
                part[3].append(line)
            elif line and not line.startswith("#"):
                raise ValueError("%s:%d: text before the first case" % (path, number))
    if part:
        yield part


def _content(lines, escaped):
    if escaped:
        return b"".join(_unescape(line) for line in lines if not line.startswith("#"))
    while lines and not lines[-1]:
        lines.pop()
    return "".join(line + "\n" for line in lines).encode()


def load_file(path):
    cases, group = [], os.path.splitext(os.path.basename(path))[0]
    for number, kind, title, lines in _sections(path):
        if kind == "==":
            cases.append(Case("%s/%s" % (group, title), path, number))
            for line in lines:
                if line and not line.startswith("#"):
                    _header(cases[-1], line)
            continue
        words = title.split()
        if words[0] == "steps":
            cases[-1].steps = [line for line in lines if line.strip() and not line.startswith("#")]
        elif words[0] in ("Corefile", "file"):
            name = "Corefile" if words[0] == "Corefile" else words[1]
            cases[-1].files[name] = _content(lines, words[-1] == "escaped")
        else:
            raise ValueError("%s:%d: unknown section %r" % (path, number, title))
    for case in cases:
        case.expect = case.expect or ("start" if case.steps else "exit 1")
    return cases


def load(folder):
    cases = []
    for name in sorted(os.listdir(folder)):
        if name.endswith(".cases"):
            cases += load_file(os.path.join(folder, name))
    names = [c.name for c in cases]
    for name in names:
        if names.count(name) > 1:
            raise ValueError("two cases are called %r" % name)
    return cases
