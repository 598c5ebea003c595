"""A client of the Runtime API: HTTP/1.1 on one connection.

It is written on sockets because http.client takes longer to load and to run;
it understands what our server sends (every answer has a length).
"""
import socket

_RECEIVE = 64 << 10


class Client:
    def __init__(self, address):
        host, _, port = address.rpartition(":")
        self._where = (host.strip("[]"), int(port))
        self._host = address
        self._socket = None

    def request(self, method, path, headers=(), body=None):
        """Returns (status, headers by lower-case name, body as bytes)."""
        kept = self._socket is not None
        try:
            self.send(method, path, headers, body)
            return self.receive()
        except OSError:
            self.close()
            if not kept:
                raise
        # A kept connection can turn out to be closed.
        self.send(method, path, headers, body)
        return self.receive()

    def send(self, method, path, headers=(), body=None):
        if self._socket is None:
            self._socket = socket.create_connection(self._where, timeout=None)
            self._socket.settimeout(None)  # whatever the default may be
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self._host}"]
        lines += [f"{name}: {value}" for name, value in headers]
        if method == "POST":
            lines.append(f"Content-Length: {len(body or b'')}")
        head = "\r\n".join(lines).encode("latin-1", "replace") + b"\r\n\r\n"
        if body and len(body) > _RECEIVE:
            self._socket.sendall(head)
            self._socket.sendall(body)
        else:
            self._socket.sendall(head + body if body else head)

    def receive(self):
        data = b""
        while True:
            more = self._socket.recv(_RECEIVE)
            if not more:
                raise OSError("the Runtime API closed the connection")
            data = data + more if data else more
            end = data.find(b"\r\n\r\n")
            if end >= 0:
                break
        status, headers = parse_head(data[:end].decode("latin-1"))
        length = int(headers.get("content-length", 0))
        body = data[end + 4:]
        if len(body) < length:
            body = self._rest(body, length)
        return status, headers, body

    def _rest(self, begin, length):
        body = bytearray(length)
        body[: len(begin)] = begin
        view = memoryview(body)
        filled = len(begin)
        while filled < length:
            n = self._socket.recv_into(view[filled:])
            if n == 0:
                raise OSError("the Runtime API closed the connection")
            filled += n
        return body

    def close(self):
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def parse_head(text):
    first, *rest = text.split("\r\n")
    headers = {}
    for line in rest:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return int(first[9:12]), headers
