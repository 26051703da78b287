"""Takes out of a client's output what is a server's own: ids, ports, raft positions, sizes, times. What must not be
zero (cluster id, member id, raft term) is only replaced where it is not."""
import re

NUMBER = r"-?[1-9]\d*"
RULES = [(re.compile(pattern, re.M), to) for pattern, to in [
    # etcdctl's own log lines
    (r'"ts":"[^"]*"', '"ts":"<TS>"'),
    (r'"target":"[^"]*"', '"target":"<TARGET>"'),
    (r'"caller":"[^"]*"', '"caller":"<CALLER>"'),
    (r"\b(took|took =|Took =) ?[0-9.]+(µs|us|ms|s|m)\b", r"\1 <TIME>"),
    (r'"took":"[^"]*"', '"took":"<TIME>"'),
    # headers and status, as JSON and as fields
    (r'"(cluster_id|member_id|raft_term|leader|raftIndex|raftTerm|raftAppliedIndex|dbSize|dbSizeInUse)":' + NUMBER, r'"\1":<N>'),
    (r'^"(ClusterID|MemberID|RaftTerm|Leader|RaftIndex|RaftAppliedIndex|DBSize|DBSizeInUse)" : 0*[1-9a-f][0-9a-f]*$', r'"\1" : <N>'),
    (r'"cluster_id":"[0-9a-f]+"', '"cluster_id":"<N>"'),
    (r"(?<=\| )[0-9.]+(µs|ms)(?= +\|)", "<TIME>"),
    (r'"hash":\d+', '"hash":<HASH>'),
    (r'^"Hash" : \d+', '"Hash" : <HASH>'),
    (r"^(<ENDPOINT>, )\d+(, \d+)?$", r"\1<HASH>\2"),
    (r"^(\| +<ENDPOINT> \| +)[1-9]\d*(?= \|)", r"\1<HASH>"),
    # sizes, their share in use, and the raft positions of `endpoint status`, simple and as a table
    (r"\b\d+(\.\d+)? [kMG]?B(?=,| )", "<SIZE>"),
    (r"\b\d+%(?=,| )", "<SHARE>"),
    (r"(, (?:true|false), (?:true|false), )[1-9]\d*, [1-9]\d*, [1-9]\d*(?=,)", r"\1<N>, <N>, <N>"),
    (r"(\| +(?:true|false) \| +(?:true|false) \| +)[1-9]\d* \| +[1-9]\d* \| +[1-9]\d* (?=\|)", r"\1<N> | <N> | <N> "),
    # a server's own; clients read that it is 3.4 or later
    (r"\b3\.([4-9]|\d\d)\.\d+(?![\d.])", "<VERSION>"),
]]
TABLE_RULE = re.compile(r"^\+[-+]+\+$", re.M)
TABLE_LINE = re.compile(r"^\|.*\|$", re.M)
MEMBER_LIST = re.compile(r"^([0-9a-f]{2,16}), (started|unstarted), ", re.M)
LEASE_GRANTED = re.compile(r"^lease ([0-9a-f]+) granted", re.M)
LEASE_JSON = re.compile(r'"raft_term":\d+,"ID":(\d+),"TTL"')
LEASE_FIELDS = re.compile(r'^"ID" : (\d+)\n"TTL" : ', re.M)
ELECTION_KEY = re.compile(r"^(?:e|l)/([0-9a-f]{8,16})$", re.M)
# A panic of etcdctl's own: where it happened is not the server's doing.
STACK = re.compile(r"^(\[signal .*|goroutine \d+ \[running\]:\n(?:.+\n)*)", re.M)


LEFT = re.compile(r'(?P<a>granted with TTL\((?P<g>\d+)s\), remaining\()(?P<r>\d+)(?P<z>s\))')
LEFT_JSON = re.compile(r'(?P<a>"ttl":)(?P<r>\d+)(?P<z>,"granted-ttl":(?P<g>\d+))')
LEFT_FIELDS = re.compile(r'(?P<a>^"TTL" : )(?P<r>\d+)(?P<z>\n"GrantedTTL" : (?P<g>\d+)$)', re.M)
SLOWEST_S = 10  # what may pass between a grant and the question for what is left


def _time_left(match):
    """A lease's remaining time, if it is as it should be."""
    good = 0 <= int(match["g"]) - int(match["r"]) <= SLOWEST_S
    return match["a"] + ("<LEFT>" if good else match["r"]) + match["z"]


def _table_line(match):
    return "| " + " | ".join(cell.strip() for cell in match[0].strip("|").split("|")) + " |"


class Normal:
    """One server's texts through the life of one case: learns leases and the member's id as they come by."""

    def __init__(self, server):
        self.server, self.ports = server, []
        self.leases, self.member = [], None

    def learn(self, text):
        for pattern, base in ((LEASE_GRANTED, 16), (LEASE_JSON, 10), (LEASE_FIELDS, 10), (ELECTION_KEY, 16)):
            for match in pattern.finditer(text):
                self._lease(int(match[1], base))
        match = MEMBER_LIST.search(text)
        if match:
            self.member = int(match[1], 16)

    def _lease(self, number):
        # A small one was chosen by the case itself.
        if number not in self.leases and number > 0xffffffff:
            self.leases.append(number)

    def variables(self, text):
        """TEXT, part of a step, with this server's own values in it."""
        for i, lease in enumerate(self.leases, 1):
            text = text.replace("$LD%d" % i, str(lease)).replace("$L%d" % i, "%x" % lease)
        if self.member is not None:
            text = text.replace("$M", "%x" % self.member)
        return text.replace("$E", "127.0.0.1:%d" % self.server.port)

    def __call__(self, data):
        text = STACK.sub("", data.decode("utf-8", "backslashreplace"))
        self.learn(text)
        for port in [self.server.port] + self.ports:
            text = re.sub(r"\b127\.0\.0\.1:%d\b" % port, "<ENDPOINT>", text)
        text = re.sub(r"\b127\.0\.0\.1:%d\b" % self.server.peer_port, "<PEER>", text)
        text = text.replace(self.server.folder, "<FOLDER>")
        for i, lease in enumerate(self.leases, 1):
            for form in ("%016x" % lease, "%x" % lease, str(lease)):
                text = re.sub(r"\b%s\b" % form, "<L%d>" % i, text)
        if self.member is not None:
            for form in ("%016x" % self.member, "%x" % self.member, str(self.member)):
                text = re.sub(r"\b%s\b" % form, "<MEMBER>", text)
        for pattern, to in RULES:
            text = pattern.sub(to, text)
        for pattern in (LEFT, LEFT_JSON, LEFT_FIELDS):
            text = pattern.sub(_time_left, text)
        return TABLE_RULE.sub("+--+", TABLE_LINE.sub(_table_line, text))
