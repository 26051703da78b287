"""Reads the case files. A file holds cases one after the other:

    == NAME                 starts a case; its full name is FILE/NAME
    server: FLAGS           further flags of the server
    client: 3.4 | 3.6       only with this etcdctl
    on: NAME                read-only steps on the store that the case NAME of this file leaves behind; all such cases
                            share one server
    limit: S                seconds the case may take (default 60)
    STEP                    any other line, in order; see ctlsteps.py

Lines that start with `#`, and empty ones, are comments.
"""
import os
import re

HEADER = re.compile(r"(server|client|on|limit): *(.*)")


class Case:
    def __init__(self, group, name, where):
        self.group, self.short, self.where = group, name, where
        self.name = group + "/" + name
        self.server, self.client, self.on, self.limit = "", "", None, 60.0
        self.steps = []


def load_file(path):
    cases, group = [], os.path.splitext(os.path.basename(path))[0]
    with open(path, encoding="utf-8", newline="\n") as f:
        for number, line in enumerate(f, 1):
            line = line.rstrip("\n")
            where = "%s:%d" % (path, number)
            if line.startswith("== "):
                cases.append(Case(group, line[3:].strip(), where))
            elif line.strip() and not line.startswith("#"):
                if not cases:
                    raise ValueError(where + ": text before the first case")
                header = HEADER.fullmatch(line)
                if not header:
                    cases[-1].steps.append(line)
                elif header[1] == "limit":
                    cases[-1].limit = float(header[2])
                else:
                    setattr(cases[-1], header[1], header[2])
    by_name = {}
    for case in cases:
        if case.short in by_name:
            raise ValueError("%s: two cases are called %r" % (case.where, case.short))
        by_name[case.short] = case
        if case.on is not None:
            if case.on not in by_name or by_name[case.on].on is not None:
                raise ValueError("%s: `on` names no earlier case of its own" % case.where)
            case.on = by_name[case.on]
    return cases


def load(folder):
    return [case for name in sorted(os.listdir(folder)) if name.endswith(".cases")
            for case in load_file(os.path.join(folder, name))]
