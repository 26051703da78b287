"""A TCP forwarder that counts the messages the server sends: how a test knows that a watch has been created, which
etcdctl does not tell."""
import contextlib
import select
import socket
import threading

FRAME_HEADER_SIZE = 9
FRAME_DATA = 0


class Frames:
    """Counts HTTP/2 DATA frames with a payload in one direction of a connection."""

    def __init__(self):
        self.header, self.payload, self.count = b"", 0, 0

    def feed(self, data):
        at = 0
        while at < len(data):
            if self.payload:
                skipped = min(self.payload, len(data) - at)
                self.payload -= skipped
                at += skipped
                continue
            wanted = FRAME_HEADER_SIZE - len(self.header)
            self.header += data[at:at + wanted]
            at += wanted
            if len(self.header) == FRAME_HEADER_SIZE:
                self.payload = int.from_bytes(self.header[:3], "big")
                if self.header[3] == FRAME_DATA and self.payload:
                    self.count += 1
                self.header = b""


class Tap:
    def __init__(self, port):
        self.target = port
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.frames = []
        self.closed = False
        threading.Thread(target=self._accept, daemon=True).start()

    def messages(self):
        return sum(f.count for f in self.frames)

    def close(self):
        self.closed = True
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._forward, args=(client,), daemon=True).start()

    def _forward(self, client):
        frames = Frames()
        self.frames.append(frames)
        with contextlib.suppress(OSError), client, socket.create_connection(("127.0.0.1", self.target)) as server:
            while not self.closed:
                for s in select.select([client, server], [], [], 1)[0]:
                    data = s.recv(65536)
                    if not data:
                        return
                    if s is client:
                        server.sendall(data)
                    else:
                        client.sendall(data)
                        frames.feed(data)
