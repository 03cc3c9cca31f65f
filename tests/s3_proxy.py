"""A proxy on loopback, between the client and a real S3 server, that makes chosen requests fail."""

from __future__ import annotations

import http.client
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

Fault = Literal["status", "cut", "lose", "flip", "pretend", "etag"]
CODES = {409: "ConditionalRequestConflict", 500: "InternalError", 501: "NotImplemented", 503: "SlowDown"}
MOST = 64 << 20  # bytes of a body


@dataclass(eq=False)
class Rule:
    """What to do with requests.

    ``fault``: "status" answers with an error and asks nobody; "cut" closes the connection at once; "lose" lets the
    server do it and then closes the connection without an answer; "flip" damages a byte on the way to the server;
    "pretend" says it was done and does nothing; "etag" tells another ETag, as stores do that make them otherwise.
    """

    fault: Fault
    method: str
    pattern: re.Pattern[str]
    times: float
    status: int = 503
    hits: int = 0


@dataclass
class Proxy:
    """``url`` is its endpoint; ``log`` holds "METHOD path" of every request."""

    url: str
    rules: list[Rule] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def rule(self, fault: Fault, method: str = ".*", pattern: str = "", *, times: float = 1, status: int = 503) -> Rule:
        """Have the next ``times`` requests of that method, whose path contains the pattern, fail."""
        made = Rule(fault, method, re.compile(pattern), times, status)
        self.rules.append(made)
        return made

    def match(self, method: str, path: str) -> Rule | None:
        """The rule for a request, which it uses up once."""
        with self.lock:
            self.log.append(f"{method} {path}")
            for rule in self.rules:
                if rule.hits < rule.times and re.fullmatch(rule.method, method) and rule.pattern.search(path):
                    rule.hits += 1
                    return rule
        return None


@contextmanager
def proxied(port: int) -> Iterator[Proxy]:
    """A proxy in front of the server at that port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30

        def handle_one_request(self) -> None:
            try:
                super().handle_one_request()
            except OSError:
                self.close_connection = True

        def serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            assert length <= MOST and "chunked" not in self.headers.get("Transfer-Encoding", "")
            body = self.rfile.read(length)
            rule = proxy.match(self.command, self.path)
            fault = rule.fault if rule else None
            if fault == "cut":
                self.close_connection = True
            elif rule is not None and fault == "status":
                code = CODES[rule.status]
                self.answer(rule.status, f"<Error><Code>{code}</Code><Message>a test</Message></Error>".encode())
            elif fault == "pretend":
                self.answer(200, b"", ETag='"00000000000000000000000000000000"')
            else:
                if fault == "flip" and body:
                    body = bytes([body[0] ^ 1]) + body[1:]
                self.forward(body, fault)

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = serve  # noqa: N815

        def forward(self, body: bytes, fault: Fault | None) -> None:
            upstream = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            try:
                upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
                for name, value in self.headers.items():
                    if name.lower() not in ("connection", "expect"):
                        upstream.putheader(name, value)
                upstream.endheaders(body or None)
                told = upstream.getresponse()
                data = told.read()
                if fault == "lose":
                    self.close_connection = True
                    return
                kept = {n: v for n, v in told.getheaders() if n.lower() not in ("connection", "transfer-encoding")}
                if fault == "etag":
                    kept["Etag"] = '"00000000000000000000000000000000"'
                kept.setdefault("Content-Length", str(len(data)))
                self.send_response_only(told.status)
                for name, value in kept.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)
            finally:
                upstream.close()

        def answer(self, status: int, body: bytes, **headers: str) -> None:
            self.send_response_only(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

    server = Server(("127.0.0.1", 0), Handler)
    proxy = Proxy(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
