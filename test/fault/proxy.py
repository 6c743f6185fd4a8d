"""A TCP proxy before a broker that knows Kafka's frames, and so can delay, lose and hold what it is told to.

The broker must advertise the proxy's address to those who come through it: behind() gives it a listener that does.
"""
import collections
import queue
import socket
import struct
import threading
import time

import processes
import wire

RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close() sends a reset at once


def behind(broker, port):
    """Adds a listener to a broker that is not started yet, whose clients are told to use the proxy on this port. Returns the
    listener's own port."""
    own = processes.free_port()
    broker.properties.update({
        "listeners": f"PLAINTEXT://127.0.0.1:{broker.port},PROXIED://127.0.0.1:{own},"
                     f"CONTROLLER://127.0.0.1:{broker.controller_port}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{broker.port},PROXIED://127.0.0.1:{port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "PLAINTEXT",
    })
    return own


class Proxy:
    """Forwards every connection on `port` to `target`, both of 127.0.0.1. Faults may be switched by any thread at any time.

    Frames of one direction keep their order, as TCP has it: what comes behind a delayed or held frame waits with it.
    """

    def __init__(self, port, target):
        self.target = target
        self.delay_seconds = 0.0  # of every frame, in either direction
        self.counts = collections.Counter()  # what was done to how many frames: "dropped", "held", "released", "reset"
        self._lock = threading.Lock()
        self._drop_replies = set()  # (api, client)
        self._hold_requests = set()
        self._release = threading.Event()
        self._pipes = set()
        self._closed = False
        self.address = f"127.0.0.1:{port}"
        self._server = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._closed = True
        self._release.set()
        self._server.close()
        self.reset()

    # --- faults ---

    def drop_replies(self, api, client):
        """From now on replies to this client's requests of this kind are lost; the broker has done what was asked."""
        with self._lock:
            self._drop_replies.add((api, client))

    def hold_request(self, api, client):
        """This client's next request of this kind, alone, reaches the broker after release(), whether the client is still
        there or not."""
        with self._lock:
            self._release.clear()
            self._hold_requests.add((api, client))

    def release(self):
        """Nothing is dropped or held any more."""
        with self._lock:
            self._drop_replies.clear()
            self._hold_requests.clear()
        self._release.set()

    def reset(self):
        """Every connection ends at once, with a reset to both sides."""
        with self._lock:
            pipes = list(self._pipes)
        for pipe in pipes:
            pipe.reset()
        self.counts["reset"] += len(pipes)

    def drops(self, header):
        """Whether the reply to this request is to be lost; counts it."""
        with self._lock:
            dropped = header is not None and (header.api, header.client) in self._drop_replies
            self.counts["dropped"] += dropped
        return dropped

    def hold(self, header):
        """Returns at once, or, if this request is to be held, after release(); counts it."""
        kind = (header.api, header.client)
        with self._lock:
            held = kind in self._hold_requests
            self._hold_requests.discard(kind)
            self.counts["held"] += held
        if held:
            self._release.wait()
            self.counts["released"] += 1

    # --- connections ---

    def _accept(self):
        while not self._closed:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            try:
                broker = socket.create_connection(("127.0.0.1", self.target), timeout=5)
                broker.settimeout(None)
            except OSError:
                client.close()
                continue
            pipe = Pipe(self, client, broker)
            with self._lock:
                self._pipes.add(pipe)
            pipe.start()

    def forget(self, pipe):
        with self._lock:
            self._pipes.discard(pipe)


class Pipe:
    """One client's connection and ours to the broker for it."""

    def __init__(self, proxy, client, broker):
        self.proxy = proxy
        self.client = client
        self.broker = broker
        self.requests = {}  # the headers of those under way, by correlation id
        for connection in (client, broker):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def start(self):
        for source, target, treat in ((self.client, self.broker, self._request), (self.broker, self.client, self._reply)):
            frames = queue.Queue()
            threading.Thread(target=self._receive, args=(source, frames), daemon=True).start()
            threading.Thread(target=self._send, args=(target, frames, treat), daemon=True).start()

    def reset(self):
        for connection in (self.client, self.broker):
            try:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                connection.shutdown(socket.SHUT_RD)  # wakes whoever reads; close() alone does not
            except OSError:
                pass
            connection.close()
        self.proxy.forget(self)

    def _receive(self, source, frames):
        """Notes when each frame came, so that a delay is one of the line and not one of each frame after the other."""
        frame = b""
        while frame is not None:
            try:
                frame = wire.read_frame(source)
            except OSError:
                frame = None
            frames.put((time.monotonic(), frame))

    def _send(self, target, frames, treat):
        while True:
            came, frame = frames.get()
            if frame is None:
                break
            time.sleep(max(0.0, came + self.proxy.delay_seconds - time.monotonic()))
            try:
                if treat(frame):
                    wire.write_frame(target, frame)
            except OSError:
                if target is self.broker:
                    break
                # The client has gone; what it sent before may still be held, and shall arrive.
        self.reset()

    def _request(self, frame):
        header = wire.header_of(frame)
        self.requests[header.correlation] = header
        self.proxy.hold(header)
        return True

    def _reply(self, frame):
        return not self.proxy.drops(self.requests.pop(wire.correlation_of(frame), None))
