#!/usr/bin/env python3
"""A bot that was written from Twilio's page "Media Streams: WebSocket Messages", with Python's library alone.

It greets, repeats what the caller says, is silent after any key, and hangs up after "*". It checks each
message against the page, and prints what it got, one JSON object a line.
"""
import base64, hashlib, json, re, socket, struct, sys, threading

FRAME = 160
lock = threading.Lock()


def say(**what):
    with lock:
        print(json.dumps(what), flush=True)


class Socket:
    """The server's side of RFC 6455."""

    def __init__(self, conn):
        self.conn, self.file = conn, conn.makefile("rb")
        request = b""
        while not request.endswith(b"\r\n\r\n"):
            line = self.file.readline()
            if not line:
                raise EOFError
            request += line
        self.path = request.split()[1].decode()
        key = re.search(rb"(?i)sec-websocket-key: *(\S+)", request).group(1)
        accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        conn.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")

    def send(self, kind, data):
        size = bytes([len(data)]) if len(data) < 126 else b"\x7e" + struct.pack(">H", len(data)) if len(data) < 65536 \
            else b"\x7f" + struct.pack(">Q", len(data))
        self.conn.sendall(bytes([0x80 | kind]) + size + data)

    def read(self):
        """Returns the next text, or None if the socket is closed."""
        while True:
            head = self.file.read(2)
            if len(head) < 2:
                return None
            size = head[1] & 0x7F
            if size == 126:
                size = struct.unpack(">H", self.file.read(2))[0]
            elif size == 127:
                size = struct.unpack(">Q", self.file.read(8))[0]
            mask = self.file.read(4)
            data = bytes(b ^ mask[i % 4] for i, b in enumerate(self.file.read(size)))
            kind = head[0] & 0x0F
            if kind == 1:
                return data
            if kind == 8:
                self.send(8, data[:2])
                return None
            if kind == 9:
                self.send(10, data)


class Call:
    def __init__(self, ws):
        self.ws, self.sid, self.number, self.chunk, self.stamp = ws, None, 0, 0, -20

    def emit(self, event, **more):
        self.ws.send(1, json.dumps({"event": event, "streamSid": self.sid, **more}).encode())

    def speak(self, audio, mark):
        self.emit("media", media={"payload": base64.b64encode(audio).decode()})
        self.emit("mark", mark={"name": mark})

    def check(self, holds, what):
        if not holds:
            say(error=what)

    def run(self):
        first = json.loads(self.ws.read())
        self.check(first == {"event": "connected", "protocol": "Call", "version": "1.0.0"}, first)
        while (text := self.ws.read()) is not None:
            m = json.loads(text)
            self.number += 1
            self.check(m["sequenceNumber"] == str(self.number), f"number {m['sequenceNumber']} after {self.number - 1}")
            getattr(self, "on_" + m["event"])(m)
            if m["event"] == "stop":
                self.check(self.ws.read() is None, "a message after stop")
                break
        say(event="closed")

    def on_start(self, m):
        s = m["start"]
        self.sid = s["streamSid"]
        self.check(m["streamSid"] == self.sid and re.fullmatch("MZ[0-9a-f]{32}", self.sid), m)
        self.check(re.fullmatch("AC[0-9a-f]{32}", s["accountSid"]) and re.fullmatch("CA[0-9a-f]{32}", s["callSid"]), m)
        self.check(s["tracks"] == ["inbound"], m)
        self.check(s["mediaFormat"] == {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}, m)
        say(event="start", callSid=s["callSid"], customParameters=s["customParameters"])
        self.speak(b"\x2a" * 50 * FRAME, "greeting")

    def on_media(self, m):
        a = m["media"]
        self.chunk, self.stamp = self.chunk + 1, self.stamp + 20
        self.check(m["streamSid"] == self.sid and a["track"] == "inbound" and a["chunk"] == str(self.chunk), m)
        self.check(a["timestamp"] == str(self.stamp), f"timestamp {a['timestamp']}, expected {self.stamp}")
        audio = base64.b64decode(a["payload"])
        self.check(len(audio) == FRAME, f"{len(audio)} bytes of audio")
        if any(b not in (0x7F, 0xFF) for b in audio):
            self.emit("media", media={"payload": a["payload"]})

    def on_dtmf(self, m):
        self.check(m["dtmf"]["track"] == "inbound_track" and m["streamSid"] == self.sid, m)
        say(event="dtmf", digit=m["dtmf"]["digit"])
        self.emit("clear")
        if m["dtmf"]["digit"] == "*":
            self.ws.send(8, struct.pack(">H", 1000))

    def on_mark(self, m):
        self.check(m["streamSid"] == self.sid, m)
        say(event="mark", name=m["mark"]["name"])

    def on_stop(self, m):
        self.check(m["streamSid"] == self.sid and set(m["stop"]) == {"accountSid", "callSid"}, m)
        say(event="stop")


def serve(conn):
    try:
        Call(Socket(conn)).run()
    except Exception as e:  # told, so that the test sees it
        say(error=repr(e))
    finally:
        conn.close()


listener = socket.create_server(("127.0.0.1", 0))
say(url="ws://127.0.0.1:%d/" % listener.getsockname()[1])
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
