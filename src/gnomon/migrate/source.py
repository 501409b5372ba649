"""source: give a running guest away. Pre-copy rounds while it runs, one round with all vCPUs paused, then the hand-over.

Owns       the dirty log of the machine while it migrates; one snapshot at a time
Guarantees S1  a page written after its copy was read is in a later snapshot, the last of which is taken with every vCPU paused   (I-8)
           S2  a snapshot is committed when the destination said that it has it, and merged back when anything went wrong before
           S3  before COMMIT whatever goes wrong leaves the guest as it was: running if it ran, unthrottled, its log switched off
           S4  after COMMIT nothing but ACK ends the source's custody, see handover.py
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

import numpy as np

import gnomon
from gnomon.errors import GnomonError
from gnomon.migrate import handover, wire
from gnomon.migrate.channel import TIMEOUT, Lost, Refused, connect
from gnomon.migrate.handover import Event
from gnomon.migrate.rounds import Convergence, Report, Round
from gnomon.migrate.taking import LOGS, open_log, take_round
from gnomon.migrate.wire import BATCH, PAGE, Type, WireError

COMPRESSIONS = ("none", "lz4")
PACED = 0.1
"""Seconds of the bandwidth limit that one frame may take, so that a low limit does not look like a stall."""

REPORT_EVERY = 0.1
"""Seconds between the reports of a round that takes long."""

LAST_BATCH = 0.3
"""Seconds that a batch on its way may still take when the migration ends early, before the connection is cut."""

ROUND_TRIPS = 3
"""Of the hand-over: FINISH/PREPARED, COMMIT/ACK, RELEASE/STARTED."""


@dataclass(frozen=True)
class Options:
    """How to migrate. Seconds, and bytes a second."""

    max_downtime: float = 0.05
    bandwidth: int | None = None
    auto_converge: bool = False
    compress: str = "none"
    timeout: float = TIMEOUT
    log: str = "harvest"

    def __post_init__(self):
        if self.compress not in COMPRESSIONS:
            raise GnomonError(f"unknown compression {self.compress!r}", f"one of {', '.join(COMPRESSIONS)}", exit_code=2)
        if self.log not in LOGS:
            raise GnomonError(f"no such way to take dirty pages: {self.log}", f"one of {', '.join(LOGS)}", exit_code=2)
        if self.bandwidth is not None and self.bandwidth < PAGE:
            raise GnomonError(f"the bandwidth is at least {PAGE} bytes a second, and this is less: {self.bandwidth}", exit_code=2)
        if self.max_downtime <= 0 or self.timeout <= 0:
            raise GnomonError("the greatest downtime and the timeout are more than zero seconds", exit_code=2)


class Cancelled(GnomonError):
    """Someone asked for the migration to end; the guest goes on at the source."""


class NotConverging(GnomonError):
    """The guest dirties its memory faster than the link carries it."""


class Ended(GnomonError):
    """The guest ended by itself before it could be handed over."""


class InDoubt(GnomonError):
    """The hand-over broke where the source cannot know who owns the guest: it is paused and whole here."""

    def __init__(self, message: str, hint: str, side: handover.Side):
        super().__init__(message, hint, exit_code=3)
        self.side = side


def migrate(
    machine,
    address: str,
    *,
    options: Options | None = None,
    progress: Callable[[Round], None] | None = None,
    cancel: threading.Event | None = None,
) -> Report:
    """Move `machine` to the receiver at `address`. On return it runs there and is stopped here.

    Raises InDoubt with the machine paused and whole where the hand-over broke after COMMIT: then decide with `resume()` or `stop()`.
    Every other GnomonError leaves the machine as it was."""
    return Migration(machine, address, options or Options(), progress, cancel or threading.Event()).run()


class Migration:
    """One attempt."""

    def __init__(self, machine, address: str, options: Options, progress, cancel: threading.Event):
        self.machine = machine
        self.name = machine.name or "the guest"
        self.address = address
        self.options = options
        self.cancel = cancel
        self.side = handover.source()
        self._progress = progress or (lambda _: None)
        self._convergence = Convergence(options.max_downtime, options.auto_converge)
        self._rounds: list[Round] = []
        self._throttled = False
        self._snapshot = None
        self._log = None
        self._hash_seconds = 0.0
        self._round_trip = float("inf")
        self._resume = False
        self._sender = ThreadPoolExecutor(1, "gnomon-send")
        self._sending: Future | None = None
        batch = BATCH if options.bandwidth is None else int(options.bandwidth * PACED) // PAGE
        self._batch = max(1, min(BATCH, batch))
        self._buffers = [(np.empty(self._batch * PAGE, np.uint8), np.zeros(self._batch, np.uint8)) for _ in range(2)]

    def run(self) -> Report:
        self._check_alive()
        self._channel = channel = connect(self.address, self.options.timeout)
        began = time.perf_counter()
        try:
            self._introduce()
            self._log = open_log(self.machine, self.options.log)
            self._log.enable()
            self._copy_while_running()
            paused_at = time.perf_counter()
            with channel.within(self.options.timeout):
                identity = self._copy_paused()
                self._commit()
            started_at = time.perf_counter()
        except BaseException as error:
            self._undo(error)
            raise
        finally:
            self._sender.shutdown(wait=False)
        channel.close()
        self._log.disable()
        self.machine.stop()
        return Report(
            name=self.name,
            peer=self.address,
            rounds=self._rounds,
            seconds=started_at - began,
            downtime=started_at - paused_at,
            bytes=channel.sent_bytes,
            pages=identity.pages,
            digest=identity.digest,
        )

    # Before the rounds

    def _check_alive(self) -> None:
        if self.machine.exit_code is not None:
            raise Ended(f"{self.name} ended with exit code {self.machine.exit_code} before it could be handed over")

    def _introduce(self) -> None:
        channel, machine = self._channel, self.machine
        session = os.urandom(16)
        channel.send_preamble()
        channel.send(
            Type.HELLO,
            wire.Hello(
                session=session,
                name=machine.name or "",
                software=gnomon.__version__,
                page=PAGE,
                memory=machine.memory,
                harts=machine.harts,
                shadow_pages=machine.config["shadow_pages"],
                running=machine.running,
            ),
        )
        channel.receive_preamble()
        _, welcome = channel.expect(Type.WELCOME)
        if welcome.session != session:
            raise WireError(f"{self.address} answered another session")

    # Rounds

    def _copy_while_running(self) -> None:
        convergence = self._convergence
        for number in range(1, 1 << 30):
            record = self._round(number, paused=False)
            if number == 1:
                self._hash_seconds = self._time_hash()
            convergence.fixed = self._hash_seconds + ROUND_TRIPS * self._round_trip
            dirty = self._log.peek_count()
            record.dirty_rate = dirty * PAGE / record.seconds / 1e6
            self._progress(record)
            verdict = convergence.after_round(number, dirty)
            if verdict.action == "finish":
                return
            if verdict.action == "give_up":
                raise self._not_converging(record, verdict.downtime)
            if verdict.throttle != record.throttle:
                self._throttled = True
                self.machine.set_throttle(verdict.throttle)

    def _time_hash(self) -> float:
        """What the pause will spend on hashing; measured while the guest runs, so rather too much."""
        began = time.perf_counter()
        self.machine.ram_hash()
        return time.perf_counter() - began

    def _not_converging(self, record: Round, downtime: float) -> NotConverging:
        allowed = self.options.max_downtime
        carried = self._convergence.bandwidth / 1e6
        return NotConverging(
            f"{self.name} would stand still for {downtime * 1e3:.0f} ms and may for {allowed * 1e3:.0f} ms: "
            f"it dirties {record.dirty_rate:.0f} MB/s, the link carries {carried:.0f} MB/s",
            f"slow the guest with --auto-converge, or allow --max-downtime {max(1, round(downtime * 1.5e3))}ms"
            if not self.options.auto_converge
            else f"allow --max-downtime {max(1, round(downtime * 1.5e3))}ms",
        )

    def _round(self, number: int, *, paused: bool) -> Round:
        """Take the dirty pages, copy them, and hear that they arrived (S2)."""
        began, sent = time.perf_counter(), self._channel.sent_bytes
        self._snapshot, batches = take_round(self._log, self.options.log, self._batch)
        record = Round(number, paused, 0, 0, 0, 0.0, 0.0, self._convergence.throttle, done=False)
        for count, zero in self._send_pages(batches):
            record.pages += count
            record.zero += zero
            elapsed = time.perf_counter() - began
            if elapsed - record.seconds > REPORT_EVERY and not paused:
                record.seconds, record.bytes = elapsed, self._channel.sent_bytes - sent
                self._progress(record)
        self._channel.send(Type.ROUND_END, wire.RoundEnd(number, record.pages, record.zero))
        if not paused:
            asked = time.perf_counter()
            self._hear_round(number)
            self._round_trip = min(self._round_trip, time.perf_counter() - asked)
            self._snapshot.commit()
            self._snapshot = None
            record.seconds = max(time.perf_counter() - began, 1e-6)
            self._convergence.measured(record.pages - record.zero, record.seconds)
        record.bytes, record.done = self._channel.sent_bytes - sent, True
        self._rounds.append(record)
        return record

    def _hear_round(self, number: int) -> None:
        _, done = self._channel.expect(Type.ROUND_DONE)
        if done.number != number:
            raise WireError(f"{self.address} answered round {done.number} to round {number}")

    def _send_pages(self, batches: Iterator[np.ndarray]) -> Iterator[tuple[int, int]]:
        """Send pages in batches: one buffer is filled while the other is on its way. Yields (pages, zero pages) of each."""
        began, before = time.monotonic(), self._channel.sent_bytes
        for turn, batch in enumerate(batches):
            self._check_going()
            index, data, flags, zeros = self._gather(batch, *self._buffers[turn % 2])
            self._sent()
            self._channel.check_peer()
            self._sending = self._sender.submit(self._channel.send_pages, index, data, flags)
            if self.options.bandwidth:
                self._sent()
                due = began + (self._channel.sent_bytes - before) / self.options.bandwidth
                self.cancel.wait(max(0.0, due - time.monotonic()))
            yield len(batch), zeros
        self._sent()

    def _sent(self) -> None:
        """Wait until the batch on its way has left."""
        if self._sending is not None:
            self._sending.result()
            self._sending = None

    def _gather(self, gfns: np.ndarray, buffer: np.ndarray, zero: np.ndarray):
        count = len(gfns)
        data, zero = buffer[: count * PAGE], zero[:count]
        self.machine.read_pages(gfns, data, zero)
        zeros = int(np.count_nonzero(zero))
        if zeros:
            data = data.reshape(count, PAGE)[zero == 0].reshape(-1)
        data = memoryview(data)
        sums = wire.page_sums(data)
        packed = wire.compress(data) if self.options.compress == "lz4" and len(data) else None
        index = wire.pack_index(gfns, zero, sums, packed)
        if packed is None:
            return index, data, 0, zeros
        return index, memoryview(packed), wire.LZ4, zeros

    def _check_going(self) -> None:
        if self.cancel.is_set():
            raise Cancelled(f"the migration of {self.name} was cancelled: it goes on here")
        self._check_alive()

    # The pause

    def _copy_paused(self) -> wire.Identity:
        """Stop every vCPU and send what is left: pages, state, the hash of both (I-8)."""
        machine, channel = self.machine, self._channel
        began = time.perf_counter()
        if machine.running:
            self._resume = True
            machine.pause()
        self._check_going()
        record = self._round(len(self._rounds) + 1, paused=True)
        state = machine.get_state()
        channel.send(Type.STATE, state)
        identity = wire.Identity(*machine.ram_hash(), wire.state_digest(state))  # while the destination computes its own
        channel.send(Type.FINISH, identity)
        self._hear_round(record.number)
        _, theirs = channel.expect(Type.PREPARED)
        if theirs != identity:
            raise WireError(
                f"memory or state differs after the copy: {identity.pages} pages with xxh3 {identity.digest} and {identity.state} here, "
                f"{theirs.pages} pages with {theirs.digest} and {theirs.state} at {self.address}"
            )
        record.seconds = time.perf_counter() - began
        self._progress(record)
        self._check_going()
        channel.check_peer()
        return identity

    def _commit(self) -> None:
        """COMMIT, ACK, RELEASE, STARTED: see handover.py."""
        channel, side = self._channel, self.side
        side.on(Event.COMMIT)
        self._send_or_unsent(Type.COMMIT)
        channel.deadline = time.monotonic() + self.options.timeout
        channel.expect(Type.ACK)
        self._snapshot.commit()
        self._snapshot = None
        side.on(Event.ACK)
        self._send_or_unsent(Type.RELEASE)
        channel.expect(Type.STARTED)
        side.on(Event.STARTED)

    def _send_or_unsent(self, kind: Type) -> None:
        """Send it; what never left has not been said to the peer."""
        try:
            self._channel.send(kind)
        except Lost:
            self.side.on(Event.UNSENT)
            raise

    # When it fails

    def _undo(self, error: BaseException) -> None:
        """Leave the guest as it was, or paused and whole in doubt. The guest first, courtesy to the peer afterwards."""
        side, channel = self.side, self._channel
        if self._sending is not None and wait([self._sending], LAST_BATCH).not_done:
            channel.cut()
        if side.state is handover.Source.OWNER and isinstance(error, GnomonError):
            error = channel.explain(error)
        elif not side.in_doubt:
            side.on(Event.REFUSED if isinstance(error, Refused) else Event.LOST)
        if self._snapshot is not None:
            self._snapshot.merge_back()
            self._snapshot = None
        if self._log is not None:
            self._log.disable()
        if self._throttled:
            self.machine.set_throttle(0)
        reason = error.message if isinstance(error, GnomonError) else f"the source failed: {type(error).__name__}"
        if not side.may_run:
            channel.close()
            raise self._in_doubt(reason) from error
        if self._resume and self.machine.exit_code is None:
            self.machine.resume()
        if isinstance(error, Refused):
            channel.close()
            raise Refused(f"{self.address} refused {self.name}: {error.message}", f"{self.name} goes on here") from None
        if isinstance(error, Lost):
            channel.close()
            raise Lost(error.message, error.hint or f"{self.name} goes on here") from None
        channel.abort(reason)

    def _in_doubt(self, reason: str) -> InDoubt:
        name = self.name
        if self.side.state is handover.Source.DOUBT_RELEASED:
            what, likely = f"{self.address} was told to run {name} and has not answered", "most likely runs it"
        else:
            what, likely = f"{self.address} was offered {name} and has not answered", "may own it"
        return InDoubt(
            f"{what}: {reason}; the peer {likely}, so {name} stays paused and whole here",
            f"look at the peer: if it runs {name}, gnomon discard {name} here; if it is surely gone, gnomon resume {name} here",
            self.side,
        )
