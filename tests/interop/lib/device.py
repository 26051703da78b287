"""A fake userspace WireGuard device: NAME.sock in a folder, answering `get=1` with a text that the test sets.

It stands in for wireguard-go where a test needs device states that no real device would take (a peer with a
link-local endpoint, 1,199 peers in a known order) or failures that a real one does not show on demand.
"""
import os
import socket
import threading


class FakeDevice:
    """`state` is the text between the request and `errno=0`; change it at any time with set_state()."""

    def __init__(self, folder, name, state, errno=0):
        self.path = os.path.join(folder, name + ".sock")
        self.read_count = 0
        self._lock = threading.Lock()
        self.set_state(state, errno)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(self.path)
        self._listener.listen(64)
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def set_state(self, state, errno=0):
        if state and not state.endswith("\n"):
            state += "\n"
        reply = (state + "errno=%d\n\n" % errno).encode()
        with self._lock:
            self._reply = reply

    def close(self):
        """Closes and unlinks the socket: to a reader the device is gone."""
        try:
            os.unlink(self.path)
        except FileNotFoundError:
            pass
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._listener.close()

    def _accept(self):
        while True:
            try:
                conn, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(conn,), daemon=True).start()

    def _serve(self, conn):
        pending = b""
        with conn:
            while True:
                try:
                    part = conn.recv(65536)
                except OSError:
                    return
                if not part:
                    return
                pending += part
                while b"\n\n" in pending:
                    request, pending = pending.split(b"\n\n", 1)
                    with self._lock:
                        reply = self._reply if request == b"get=1" else b"errno=-22\n\n"
                        self.read_count += 1
                    try:
                        conn.sendall(reply)
                    except OSError:
                        return


def peer_text(key, endpoint=None, allowed=(), handshake=0):
    """One peer as wireguard-go prints it; `key` is 32 bytes."""
    lines = ["public_key=" + key.hex(), "preshared_key=" + "00" * 32, "protocol_version=1"]
    if endpoint:
        lines.append("endpoint=" + endpoint)
    lines += ["last_handshake_time_sec=%d" % handshake, "last_handshake_time_nsec=0", "tx_bytes=0", "rx_bytes=0",
              "persistent_keepalive_interval=0"]
    lines += ["allowed_ip=" + a for a in allowed]
    return "\n".join(lines) + "\n"


def device_text(peers, private_key=b"\1" * 32, listen_port=51820):
    return "private_key=%s\nlisten_port=%d\n" % (private_key.hex(), listen_port) + "".join(peers)
