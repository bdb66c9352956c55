"""One HTTP/3 connection. Each line on stdin is a command:

    request NAME PATH [SIZE [LATER]]   sends a GET, or a POST of SIZE bytes; LATER of them wait for `rest`
    rest NAME                          sends the rest of its body
    reset NAME                         sends RESET_STREAM and STOP_SENDING, as a client that gives up
    stop NAME                          sends STOP_SENDING alone, as a client that has sent its whole request
    abort NAME                         sends RESET_STREAM alone
    mark                               is answered when all earlier commands are carried out
    ping                               keeps the connection from being idle
    close                              ends the connection and this program

Each event is printed as a line of JSON: {"event": "connected"}, {"event": "answer NAME", "status", "headers",
"body"}, {"event": "reset NAME"}, {"event": "mark"}, {"event": "pong"}, {"event": "closed", "error", "reason"}.

usage: http3.py HOST PORT
"""

import asyncio
import json
import ssl
import sys

from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, StreamReset

H3_REQUEST_CANCELLED = 0x10C


def say(event, **more):
    print(json.dumps({"event": event, **more}), flush=True)


class Client(QuicConnectionProtocol):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.http = H3Connection(self._quic)
        self.names = {}  # stream => name
        self.streams = {}  # name => stream
        self.answers = {}  # stream => headers and body so far
        self.rests = {}  # stream => bytes of the body that wait

    def quic_event_received(self, event):
        if isinstance(event, StreamReset) and event.stream_id in self.names:
            say("reset " + self.names[event.stream_id], code=event.error_code)
        elif isinstance(event, ConnectionTerminated):
            say("closed", error=event.error_code, reason=event.reason_phrase)
        for told in self.http.handle_event(event):
            if not isinstance(told, (HeadersReceived, DataReceived)):
                continue
            headers, body = self.answers.setdefault(told.stream_id, ({}, bytearray()))
            if isinstance(told, HeadersReceived):
                headers.update((name.decode(), value.decode()) for name, value in told.headers)
            else:
                body.extend(told.data)
            if told.stream_ended:
                say(
                    "answer " + self.names[told.stream_id],
                    status=int(headers.pop(":status")),
                    headers=headers,
                    body=body.decode(errors="replace"),
                )

    def request(self, name, path, size=0, later=0):
        stream = self._quic.get_next_available_stream_id()
        self.names[stream], self.streams[name] = name, stream
        size, later = int(size), int(later)
        headers = {":method": "POST" if size else "GET", ":scheme": "https", ":authority": "localhost", ":path": path}
        if size:
            headers["content-length"] = str(size)
        headers = [(key.encode(), value.encode()) for key, value in headers.items()]
        self.http.send_headers(stream, headers, end_stream=not size)
        if size:
            self.rests[stream] = later
            self.http.send_data(stream, b"x" * (size - later), end_stream=not later)

    def rest(self, name):
        stream = self.streams[name]
        self.http.send_data(stream, b"x" * self.rests[stream], end_stream=True)

    def reset(self, name):
        self.abort(name)
        self.stop(name)

    def stop(self, name):
        self._quic.stop_stream(self.streams[name], H3_REQUEST_CANCELLED)

    def abort(self, name):
        self._quic.reset_stream(self.streams[name], H3_REQUEST_CANCELLED)


async def main(host, port):
    configuration = QuicConfiguration(
        is_client=True, alpn_protocols=H3_ALPN, server_name="localhost", verify_mode=ssl.CERT_NONE, idle_timeout=60
    )
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    async with connect(host, int(port), configuration=configuration, create_protocol=Client) as client:
        say("connected")
        while line := (await lines.readline()).decode().split():
            if line[0] == "close":
                break
            elif line[0] == "mark":
                say("mark")
            elif line[0] == "ping":
                await client.ping()
                say("pong")
            else:
                getattr(client, line[0])(*line[1:])
                client.transmit()


asyncio.run(main(*sys.argv[1:]))
