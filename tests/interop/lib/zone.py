"""Compares what DNS says of a `warren` zone with the registry's peers and observations, by the rules of
registry/peer.h as the tests read them themselves."""
import ipaddress
import json
import time

import dns


def published(peer, observations):
    """(address, port) of a peer: the live observation that changed last, else the static endpoint, else the newest idle
    one, else None."""
    live = [o for o in observations if not o["value"].get("idle")]
    idle = [o for o in observations if o["value"].get("idle")]
    if live:
        text = max(live, key=lambda o: o["mod"])["value"]["endpoint"]
    elif peer and "endpoint" in peer:
        text = peer["endpoint"]
    elif idle:
        text = max(idle, key=lambda o: o["mod"])["value"]["endpoint"]
    else:
        return None
    address, port = text.rsplit(":", 1)
    return address.strip("[]"), int(port)


def model(found):
    """{key label: (endpoint or None, peer or None)} of what the client says of a zone."""
    peers = {label: json.loads(value) for label, value in found["peers"].items()}
    seen = {}
    for o in found["observations"] or []:
        seen.setdefault(o["Peer"], []).append({"value": json.loads(o["Value"]), "mod": o["Mod"]})
    return {label: (published(peers.get(label), seen.get(label, [])), peers.get(label))
            for label in set(peers) | set(seen)}


def ask(server, name, qtype):
    reply = dns.ask_tcp(server, dns.query(name, qtype), 5)
    if reply is None:
        raise RuntimeError("no answer to %s %d" % (name, qtype))
    return dns.decode(reply)


def lower(labels):
    return dns.name_text(labels).lower().replace("=", "")


def compare(server, zone, found, limit=3.0):
    """(what is wrong, how many answers were compared), once it is right or LIMIT seconds are over: DNS follows the
    registry by a watch."""
    deadline = time.monotonic() + limit
    while True:
        try:
            wrong, count = compare_once(server, zone, found)
        except (OSError, RuntimeError) as e:
            wrong, count = [str(e)], 0
        if not wrong or time.monotonic() > deadline:
            return wrong, count
        time.sleep(0.05)


def compare_once(server, zone, found):
    wanted, wrong, count = model(found), [], 0
    service = "_wireguard._udp." + zone

    def equal(what, got, want):
        if got != want:
            wrong.append("%s: %r, the registry says %r" % (what, got, want))

    m = ask(server, service, dns.PTR)
    shown = sorted(lower(r.data[0]) for r in m.answer if r.type == dns.PTR)
    equal("PTR " + service, shown, sorted("%s.%s" % (label, service) for label, (at, _) in wanted.items() if at))
    names = {}
    for label, (_, peer) in wanted.items():
        if peer and peer.get("name"):
            names.setdefault(peer["name"], []).append(peer)
    for label, (at, peer) in sorted(wanted.items()):
        owner = "%s.%s" % (label, service)
        m = ask(server, owner, dns.SRV)
        count += 1
        if at is None:
            equal("SRV %s, which has no endpoint" % owner, [r.data for r in m.answer if r.type == dns.SRV], [])
            continue
        equal("SRV " + owner, [(r.data[2], lower(r.data[3])) for r in m.answer if r.type == dns.SRV], [(at[1], owner)])
        qtype = dns.AAAA if ":" in at[0] else dns.A
        m = ask(server, owner, qtype)
        equal("A " + owner, [str(ipaddress.ip_address(r.data)) for r in m.answer if r.type == qtype], [at[0]])
        m = ask(server, owner, dns.TXT)
        allowed = ",".join(peer.get("allowed_ips", [])) if peer else ""
        texts = [s for r in m.answer if r.type == dns.TXT for s in r.data]
        equal("TXT " + owner, [t for t in texts if t.startswith(b"allowed=")], [b"allowed=" + allowed.encode()])
    for name, owners in sorted(names.items()):
        m = ask(server, name + "." + zone, dns.A)
        count += 1
        addresses = [a.split("/")[0] for a in owners[0].get("allowed_ips", [])] if len(owners) == 1 else []
        equal("A %s.%s" % (name, zone), sorted(str(ipaddress.ip_address(r.data)) for r in m.answer if r.type == dns.A),
              sorted(addresses))
    return wrong, count + 1
