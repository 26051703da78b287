"""The list of what may differ from CoreDNS, read from the file `differences`. Each rule:

    rule NAME
    reason: why it differs
    cases: PATTERN            shell pattern of case names; default *
    oracle: REGEX             what CoreDNS gives, as a whole
    warren: REGEX             what we give
    where: PATTERN            exit, started, stdout, stderr, metrics, or "reply to ..."; default *

A rule with both regular expressions allows one item that differs: a reply, an exit code, or all the lines of stdout,
stderr or the metrics that differ. A rule with one of the two allows single lines that only that side has. A rule with

    refused: REGEX            our whole standard error

allows us to refuse a Corefile that CoreDNS starts with.
"""
import fnmatch
import re


class Rule:
    def __init__(self, name):
        self.name, self.reason, self.cases, self.where = name, "", "*", "*"
        self.oracle = self.warren = self.refused = None
        self.count = 0

    def applies(self, case, where):
        return fnmatch.fnmatch(case, self.cases) and fnmatch.fnmatch(where, self.where)


class Differences:
    def __init__(self, path):
        self.rules = []
        with open(path, encoding="utf-8") as f:
            for number, line in enumerate(f, 1):
                line = line.strip()
                if line.startswith("rule "):
                    self.rules.append(Rule(line[5:]))
                elif line and not line.startswith("#"):
                    key, _, value = line.partition(":")
                    if key not in ("reason", "cases", "oracle", "warren", "refused", "where"):
                        raise ValueError("%s:%d: what is %r?" % (path, number, key))
                    value = value.strip()
                    setattr(self.rules[-1], key, re.compile(value, re.S) if key in ("oracle", "warren", "refused") else value)
        for rule in self.rules:
            if not rule.reason or not (rule.oracle or rule.warren or rule.refused):
                raise ValueError("%s: rule %s lacks a reason or a pattern" % (path, rule.name))

    def allow(self, case, where, oracle, warren):
        for rule in self.rules:
            if (rule.oracle is not None and rule.warren is not None and rule.applies(case, where) and rule.oracle.fullmatch(oracle)
                    and rule.warren.fullmatch(warren)):
                rule.count += 1
                return True
        return False

    def allow_line(self, case, where, side, line):
        for rule in self.rules:
            mine, other = (rule.oracle, rule.warren) if side == "oracle" else (rule.warren, rule.oracle)
            if mine and not other and rule.applies(case, where) and mine.fullmatch(line):
                rule.count += 1
                return True
        return False

    def refused(self, case, message):
        for rule in self.rules:
            if rule.refused and rule.applies(case, "started") and rule.refused.fullmatch(message):
                rule.count += 1
                return True
        return False

    def unused(self):
        return [r for r in self.rules if r.count == 0]

    def print_use(self):
        for rule in self.rules:
            print("difference %-28s %4d times: %s" % (rule.name, rule.count, rule.reason))
