"""A network and mount namespace for one run of a program: ports of its own (53 included), a loopback interface,
and a /run of its own, so that both programs use the same addresses and paths. All of it goes with the process."""
import ctypes
import fcntl
import os
import socket
import struct

CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWNET = 0x00020000, 0x10000000, 0x40000000
MS_REC, MS_PRIVATE = 0x4000, 1 << 18
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1

_libc = ctypes.CDLL(None, use_errno=True)


def _call(name, *args):
    if getattr(_libc, name)(*args) != 0:
        number = ctypes.get_errno()
        raise OSError(number, "%s: %s" % (name, os.strerror(number)))


def _map_root(uid, gid):
    for path, text in (("setgroups", "deny"), ("uid_map", "0 %d 1" % uid), ("gid_map", "0 %d 1" % gid)):
        with open("/proc/self/" + path, "w") as f:
            f.write(text)


def _loopback_up():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        request = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack_from("h", fcntl.ioctl(s, SIOCGIFFLAGS, request), 16)[0]
        fcntl.ioctl(s, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | IFF_UP))


def enter():
    """Moves this (single-threaded) process into new namespaces, as root in them. Gives two empty folders that exist
    only there: one to work in, and /run/wireguard. OSError where the system does not allow it."""
    if os.geteuid() == 0:
        _call("unshare", CLONE_NEWNS | CLONE_NEWNET)
    else:
        uid, gid = os.getuid(), os.getgid()
        _call("unshare", CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET)
        _map_root(uid, gid)
    _loopback_up()
    _call("mount", b"none", b"/", None, MS_REC | MS_PRIVATE, None)
    _call("mount", b"tmpfs", b"/run", b"tmpfs", 0, None)
    os.makedirs("/run/wireguard")
    os.makedirs("/run/case")
    return "/run/case", "/run/wireguard"
