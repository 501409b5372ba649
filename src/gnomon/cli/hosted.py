"""hosted: a machine that lives in this process, under a name, until it ends, moves away, or is stopped.

States     starting     kernels compile, the guest is loaded
           waiting      a receiver nobody has come to yet
           running, paused
           migrating    pre-copy runs; pause, resume and discard wait until it is over, stop cancels it
           in doubt     a hand-over broke where this side cannot know who owns the guest: paused and whole, resume or discard decide
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from gnomon.cli.control import Claim, Reply, Request, Server
from gnomon.cli.host_frames import PAGE, indices
from gnomon.cli.watching import Watching
from gnomon.errors import GnomonError

POLL = 0.02
STOPPING = 5.0
"""Seconds that stop() waits for a migration to notice that it is cancelled: a page on its way, or a hand-over that is nearly done."""


class Hosted:
    """Commands on one machine, and the wait for its end."""

    def __init__(self, claim: Claim | None, *, on_event: Callable[..., None], note: Callable[[str], None], before: str = "waiting"):
        """`before` is the state until there is a machine."""
        self.name = claim.name if claim else None
        self._before = before
        self.machine = None
        self.doubt: GnomonError | None = None
        self.exit_code: int | None = None
        self.on_round: Callable[[object], None] | None = None
        """Told of the rounds when it migrates away."""
        self._event, self._note = on_event, note
        self._began = time.time()
        self._held = False
        self._moving: threading.Event | None = None
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._ending: dict = {"event": "ended"}
        self._watching = Watching(self, self._lock)
        self._server = Server(claim, self._handle) if claim else None

    # Life

    def adopt(self, machine, *, held: bool = False, doubt: GnomonError | None = None) -> None:
        """Take a machine in. `held`: it is not started yet, and `resume` will start it."""
        self._held, self.doubt = held, doubt
        self.machine = machine

    def wait(self, broken: threading.Event | None = None) -> int:
        """Until it is over; returns the exit code of the command."""
        while not self._over.wait(POLL):
            code = self.machine.exit_code if self.machine else None
            if code is not None and self._moving is None and self.doubt is None:
                self._end(code, "exit", code=code)
            if broken is not None and broken.is_set() and self.doubt is None:
                self._end(141, "stopped")
            self._watching.expire()
        return self.exit_code

    def close(self) -> None:
        if self._server:
            self._server.close()

    def end_machine(self) -> None:
        self._over.set()
        if self._moving is not None:
            self._moving.set()
        if self.machine is not None:
            with suppress(Exception):
                self.machine.stop()

    def _end(self, code: int, event: str, /, **fields: object) -> None:
        self.exit_code = code
        self._ending = {"event": event, **fields}
        self._event(event, **fields)
        self._over.set()

    @property
    def state(self) -> str:
        if self.machine is None:
            return self._before
        if self.doubt is not None:
            return "in doubt"
        if self._moving is not None:
            return "migrating"
        return "paused" if self._held else self.machine.state_name

    @property
    def settled(self) -> bool:
        """Whether the machine is ours alone: not on the move, not in doubt, not over."""
        return self._moving is None and self.doubt is None and not self._over.is_set()

    # Commands

    def _handle(self, request: Request, reply: Reply) -> object:
        commands = {
            "status": self.status,
            "stats": self.stats,
            "pause": self.pause,
            "resume": self.resume,
            "stop": self.stop,
            "discard": self.discard,
        }
        if request.command == "migrate":
            return self.migrate(reply, **request.arguments)
        if request.command == "move":
            return self.move(**request.arguments)
        if request.command == "take-back":
            return self.take_back(**request.arguments)
        if request.command == "share":
            return self.share(**request.arguments)
        if request.command == "watch":
            return self.watch(reply, request.arguments)
        if request.command not in commands:
            raise GnomonError(f"machine {self.name} does not know the command: {request.command}", "is it of another release?", exit_code=2)
        return commands[request.command]()

    def status(self) -> dict:
        machine = self.machine
        return {
            "name": self.name,
            "pid": os.getpid(),
            "state": self.state,
            "harts": machine.harts if machine else 0,
            "memory": machine.memory if machine else 0,
            "seconds": time.time() - self._began,
        }

    def stats(self) -> dict:
        return self._present().stats()

    def watch(self, reply: Reply, asked: dict) -> dict:
        """Views of the machine as events, until it ends: how it ended is the result."""
        left = threading.Event()
        with reply.when_hung_up(left.set):
            self._watching.serve(reply.event, left, self._over, asked)
        return self._ending

    def pause(self) -> None:
        with self._lock:
            machine = self._still()
            self._decided("paused already and waits for resume or discard")
            if not self._held and not machine.paused:
                machine.pause()
                self._event("paused")

    def resume(self) -> None:
        """Go on; in doubt, that is the decision that the guest is ours."""
        with self._lock:
            machine = self._still()
            if self.doubt is not None:
                self.doubt = None
                self._note(f"{self.name} goes on here")
            if self._held:
                self._held = False
                machine.start()
            elif machine.paused:
                machine.resume()
            self._event("resumed")

    def stop(self) -> None:
        moving = self._moving
        if moving is not None:
            moving.set()
            end = time.monotonic() + STOPPING
            while self._moving is not None and time.monotonic() < end:
                time.sleep(POLL)
        with self._lock:
            if self._over.is_set():
                return
            if self._moving is not None:
                raise GnomonError(f"{self.name} is being handed over and cannot be stopped now", "try again in a moment")
            self._decided("in doubt: discard it, or resume it and stop it then")
            self._end(0, "stopped")

    def discard(self) -> None:
        """Give up a guest in doubt: the other side owns it."""
        with self._lock:
            self._still()
            if self.doubt is None:
                raise GnomonError(f"{self.name} is not in doubt, it is {self.state}", f"gnomon stop {self.name} ends it")
            self.doubt = None
            self._note(f"{self.name} is discarded here")
            self._end(0, "discarded")

    def migrate(self, reply: Reply, address: str = "", **asked: object) -> dict:
        """Give the guest to the receiver at `address`; rounds are reported as events."""
        from gnomon.migrate import Options, migrate, source
        from gnomon.migrate.rounds import as_dict

        with self._lock:
            machine = self._still()
            self._decided("in doubt, and cannot migrate before resume or discard decides")
            if self._held:
                raise GnomonError(f"{self.name} came here paused and has not run since", f"gnomon resume {self.name} first")
            try:
                options = Options(**asked)
            except TypeError as error:
                raise GnomonError(f"unknown option of migrate: {error}", exit_code=2) from None
            self._watching.migration_begins()
            self._moving = cancel = threading.Event()

        def progress(record) -> None:
            self._watching.note_round(record)
            if self.on_round:
                self.on_round(record)
            reply.event(record)

        try:
            with reply.when_hung_up(cancel.set):
                report = migrate(machine, address, options=options, progress=progress, cancel=cancel)
        except source.InDoubt as doubt:
            self.doubt = doubt
            self._note(f"gnomon: {doubt.message}\n\nhint: {doubt.hint}")
            self._event("in doubt", message=doubt.message, hint=doubt.hint)
            raise
        finally:
            self._moving = None
        self._note(f"{self.name} now runs on {address}")
        self._end(0, "moved", to=address)
        return as_dict(report)

    def move(self, address: int, pages: int) -> dict:
        """Put pages into other frames; the guest and a migration go on meanwhile."""
        machine = self._living()
        wanted = indices(machine, address, pages)
        return {"name": self.name, "address": address, "pages": pages, "moved": machine.move_pages(wanted)}

    def take_back(self, address: int, pages: int, discard: bool = False) -> dict:
        """Take frames of zero pages from the guest; with `discard` of any, which nobody may ask while it is on the move or in doubt."""
        if discard:
            self._still()
            self._decided("in doubt, and keeps what its pages hold until resume or discard decides")
        machine = self._living()
        wanted = indices(machine, address, pages)
        taken = machine.take_back(wanted, discard=discard)
        return {"name": self.name, "address": address, "pages": pages, "discard": discard, "taken_back": taken}

    def share(self, address: int | None = None, pages: int | None = None) -> dict:
        """Have equal pages share a frame, of all RAM or from `address` on; the guest and a migration go on meanwhile."""
        machine = self._living()
        base = machine.base_gfn * PAGE
        first = base if address is None else address
        count = max(1, machine.pages - (first - base) // PAGE) if pages is None else pages
        wanted = indices(machine, first, count)
        freed = machine.share_pages(wanted)
        counted = machine.stats()["mmu"]
        asked = {"name": self.name, "address": first, "pages": count, "freed": freed}
        return {**asked, "shared_pages": counted["shared pages"], "shared_frames": counted["shared frames"]}

    def _living(self):
        """The machine, on the move or not."""
        machine = self._present()
        if self._over.is_set():
            raise GnomonError(f"{self.name} has ended")
        return machine

    def _present(self):
        if self.machine is None:
            why = "it waits for one to arrive" if self._before == "waiting" else f"it is {self._before} still"
            raise GnomonError(f"{self.name} has no guest yet: {why}")
        return self.machine

    def _still(self):
        """The machine, unless it is on the move."""
        machine = self._living()
        if self._moving is not None:
            raise GnomonError(f"{self.name} is migrating", "end the migration first: Ctrl-C in its terminal")
        return machine

    def _decided(self, otherwise: str) -> None:
        if self.doubt is not None:
            raise GnomonError(f"{self.name} is {otherwise}", self.doubt.hint)
