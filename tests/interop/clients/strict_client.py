#!/usr/bin/env python3
"""What wgsd-client does, in the strictest reading: for each peer of the device one SRV query (name in upper case, RD,
no EDNS, a 512-byte buffer, no TCP, no retry), the first answer must be an SRV, the first additional record an address,
and those two become the peer's endpoint. Where wgsd-client would crash or skip a peer, this exits with the reason.

Usage: strict_client.py DEVICE HOST PORT ZONE
"""
import ipaddress
import os
import socket
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import dns


def main():
    device, host, port, zone = sys.argv[1:5]
    peers = subprocess.run(["wg", "show", device, "peers"], check=True, capture_output=True, text=True).stdout.split()
    if not peers:
        sys.exit("no peers found")
    for key in peers:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(5)
            s.connect((host, int(port)))
            s.send(dns.query(dns.peer_label(key).upper() + "._wireguard._udp." + zone, dns.SRV, edns=None))
            data = s.recv(65535)
        if len(data) > 512:
            sys.exit("%s: %d bytes do not fit wgsd-client's buffer" % (key, len(data)))
        m = dns.decode(data)
        if not m.answer:
            print("[%s] no SRV records found" % key)
            continue
        if m.answer[0].type != dns.SRV:
            sys.exit("%s: first answer is not an SRV: wgsd-client would crash\n%s" % (key, m))
        if not m.additional:
            sys.exit("%s: no additional record: wgsd-client would crash\n%s" % (key, m))
        if m.additional[0].type not in (dns.A, dns.AAAA):
            sys.exit("%s: first additional record is no address: wgsd-client would skip the peer\n%s" % (key, m))
        address = ipaddress.ip_address(m.additional[0].data)
        endpoint = ("[%s]:%d" if address.version == 6 else "%s:%d") % (address, m.answer[0].data[2])
        subprocess.run(["wg", "set", device, "peer", key, "endpoint", endpoint], check=True)
        print("[%s] %s" % (key, endpoint))


main()
