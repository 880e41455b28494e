"""A connection: protocol headers, SASL, frames in and out, open and close.

Nothing that a client sends can harm the broker. If a frame is too large, a value cannot be read, or
a performative is not allowed, the client gets an error and its connection is closed. The broker
stops reading from a client that does not read, so that nothing piles up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from mlgate.emulators.service_bus import frames, performatives
from mlgate.emulators.service_bus.broker import Broker
from mlgate.emulators.service_bus.decode import DecodeError
from mlgate.emulators.service_bus.links import TooManyReplies
from mlgate.emulators.service_bus.performatives import Begin, Close, End, Open, SaslInit
from mlgate.emulators.service_bus.sessions import HANDLE_MAX, Session
from mlgate.emulators.service_bus.tokens import Grant

CHANNEL_MAX = 15
_MAX_GRANTS = 100
_MIN_FRAME = 512  # bytes that every peer must accept
_MAX_OUTPUT = 1 << 20  # bytes that one turn may send to one client
_HTTP = (b"GET ", b"PUT ", b"POST ", b"HEAD ", b"DELETE ", b"OPTIONS ")
_NO_HTTP = (
    b"HTTP/1.1 501 Not Implemented\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n"
    b"The emulator only speaks AMQP: it has no websockets and no management API.\n"
)


class Connection(asyncio.Protocol):
    """The broker's side. `on_end` is called with the connection once it is lost."""

    def __init__(self, broker: Broker, on_end: Callable[[Connection], None]) -> None:
        self.broker = broker
        self.max_frame_size = _MIN_FRAME
        self._on_end = on_end
        self._transport: asyncio.Transport | None = None
        self._input = bytearray()
        self._output: list[bytes] = []
        self._output_size = 0
        self._is_paused = False
        self._expects: bytes | None = frames.SASL_HEADER  # None: frames
        self._frame_type = frames.SASL
        self._is_open = False
        self._is_closing = False
        self._sessions: dict[int, Session] = {}
        self._grants: dict[str, Grant] = {}
        self._heartbeat: asyncio.TimerHandle | None = None

    # Used by sessions and nodes

    @property
    def is_congested(self) -> bool:
        """Whether messages must wait until the client has read what was sent."""
        return self._is_paused or self._output_size > _MAX_OUTPUT

    def send(self, channel: int, body: bytes, kind: int = frames.AMQP) -> None:
        self._send_raw(frames.frame(channel, body, kind))

    def grant(self, grant: Grant) -> None:
        if grant.path in self._grants or len(self._grants) < _MAX_GRANTS:
            self._grants[grant.path] = grant

    def is_granted(self, path: str, right: str | None = None) -> bool:
        now = self.broker.clock()
        grants = self._grants.values()
        return any(one.covers(path, right) and one.expires_at > now for one in grants)

    # Called by the broker

    def flush(self) -> None:
        """Send what was written since the last call, now that the journal has it."""
        if self._transport is None:
            return
        output, has_more = b"".join(self._output), self._output_size > _MAX_OUTPUT
        self._output, self._output_size = [], 0
        self._transport.write(output)
        if self._is_closing:
            self._transport.close()
        elif has_more:
            self.broker.wake()

    def abort(self) -> None:
        """End the connection without a close, as the end of the process would."""
        if self._transport is not None:
            self._transport.abort()

    # Called by the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 -- how it ended does not matter
        self._transport = None
        self._is_closing = True
        if self._heartbeat is not None:
            self._heartbeat.cancel()
        for session in self._sessions.values():
            session.close()
        self._sessions.clear()
        self._on_end(self)

    def pause_writing(self) -> None:
        self._is_paused = True
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._is_paused = False
        if self._transport is not None:
            self._transport.resume_reading()
        self.broker.wake()

    def data_received(self, data: bytes) -> None:
        self._input += data
        self.broker.detach_idle()
        try:
            while not self._is_closing and self._consume():
                pass
        except DecodeError as error:
            self._fail("amqp:decode-error", str(error))
        except TooManyReplies:
            self._fail("amqp:resource-limit-exceeded", "Too many replies wait for credit.")
        self.broker.wake(self)

    # Inside

    def _consume(self) -> bool:
        """Handle one header or frame of the input; False if there is no whole one yet."""
        if len(self._input) < 8:
            return False
        if self._expects is not None:
            header = bytes(self._input[:8])
            del self._input[:8]
            self._on_header(header, self._expects)
            return True
        size = int.from_bytes(self._input[:4], "big")
        offset = self._input[4] * 4  # in words, including the frame's header
        if size > frames.MAX_FRAME or not 8 <= offset <= size:
            self._fail("amqp:connection:framing-error", f"A frame claims {size} bytes.")
            return False
        if len(self._input) < size:
            return False
        kind, channel = self._input[5], int.from_bytes(self._input[6:8], "big")
        body = bytes(self._input[offset:size])
        del self._input[:size]
        if kind != self._frame_type:
            raise DecodeError(f"a frame of type {kind} is not allowed here")
        if body:  # otherwise it is a heartbeat
            self._on_frame(channel, body)
        return True

    def _on_header(self, header: bytes, expected: bytes) -> None:
        if header.startswith(_HTTP):
            self._send_raw(_NO_HTTP)
            self._is_closing = True
            return
        self._send_raw(expected)
        self._expects = None
        if header != expected:
            self._is_closing = True
        elif expected == frames.SASL_HEADER:
            self.send(0, frames.sasl_mechanisms(), frames.SASL)
        else:
            self._frame_type = frames.AMQP

    def _on_frame(self, channel: int, body: bytes) -> None:
        performative, payload = performatives.parse(body)
        session = self._sessions.get(channel)
        match performative:
            case SaslInit() if self._frame_type == frames.SASL:
                is_anonymous = performative.mechanism == "ANONYMOUS"
                self.send(0, frames.sasl_outcome(0 if is_anonymous else 1), frames.SASL)
                self._is_closing = not is_anonymous
                self._expects = frames.AMQP_HEADER
            case Open() if not self._is_open and self._frame_type == frames.AMQP:
                self._on_open(performative)
            case Close() if self._is_open:
                self.send(0, frames.close())
                self._is_closing = True
            case _ if not self._is_open or isinstance(performative, Open | SaslInit):
                raise DecodeError(f"{type(performative).__name__} is not allowed here")
            case Begin():
                if channel > CHANNEL_MAX or session is not None:
                    raise DecodeError(f"channel {channel} is in use or over {CHANNEL_MAX}")
                self._sessions[channel] = Session(self, channel, performative)
                self.send(channel, frames.begin(channel, HANDLE_MAX))
            case End():
                if session is not None:
                    session.close()
                    del self._sessions[channel]
                    self.send(channel, frames.end())
            case _:
                # Ignore frames on a channel that has just ended: the client lost a race.
                if session is not None:
                    session.on_frame(performative, payload)

    def _on_open(self, opened: Open) -> None:
        self._is_open = True
        limit = opened.max_frame_size or frames.MAX_FRAME
        if limit < _MIN_FRAME:
            raise DecodeError(f"max-frame-size is below {_MIN_FRAME}")
        self.max_frame_size = min(limit, frames.MAX_FRAME)
        self.send(0, frames.open_("mlgate-service-bus-emulator", CHANNEL_MAX))
        if opened.idle_time_out:
            self._beat(opened.idle_time_out / 2000)

    def _beat(self, seconds: float) -> None:
        """Send heartbeats at this interval, half of the client's idle timeout."""
        self._send_raw(frames.HEARTBEAT)
        loop = asyncio.get_running_loop()
        self._heartbeat = loop.call_later(max(seconds, 0.1), self._beat, seconds)

    def _fail(self, condition: str, description: str) -> None:
        if self._is_open:
            self.send(0, frames.close(frames.error(condition, description)))
        self._is_closing = True

    def _send_raw(self, data: bytes) -> None:
        if not self._is_closing:
            self._output.append(data)
            self._output_size += len(data)
        self.broker.wake(self)
