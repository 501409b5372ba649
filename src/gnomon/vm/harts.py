"""HartThreads: the OS threads of a machine: one a hart, and one that carries console bytes and does the host's housekeeping."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress

from gnomon.mmu.zap import reclaim
from gnomon.vm.console import console_send, console_take
from gnomon.vm.devices import DEV
from gnomon.vm.run import RUN_ENDED, RUN_REQUEST, clear_pause, request_pause, vcpu_run

CONSOLE_PERIOD = 0.002
RETRY_PERIOD = 0.001
"""Seconds a hart waits when the console is full or the frame pool is empty."""


class HartThreads:
    """Start, park, resume and end the threads of one machine."""

    def __init__(self, host, vm: int, vcpus: list[int], threads: list[int], sink: Callable[[bytes], object] | None):
        self._host, self._arena, self._vm, self._vcpus, self._slots = host, host.arena, vm, vcpus, threads
        self._sink = sink
        self._state = threading.Condition()
        self._parked_harts = 0
        self._left = 0
        self.started = self.parked = self.stopped = False
        self._threads: list[threading.Thread] = []
        self._console: threading.Thread | None = None
        self._console_over = threading.Event()
        self.failure: BaseException | None = None

    @property
    def exit_code(self) -> int | None:
        ended = int(self._arena.words[self._vm + DEV.ended])
        return ended - 1 if ended and self.started else None

    def start(self) -> None:
        with self._state:
            self.started = True
        for number, v in enumerate(self._vcpus):
            self._threads.append(threading.Thread(target=self._hart, args=(v,), name=f"hart {number}", daemon=True))
        self._console = threading.Thread(target=self._carry_console, name="console", daemon=True)
        for thread in [*self._threads, self._console]:
            thread.start()

    def _hart(self, v: int) -> None:
        try:
            while True:
                with self._state:
                    while self.parked and not self.stopped:
                        self._parked_harts += 1
                        self._state.notify_all()
                        self._state.wait()
                        self._parked_harts -= 1
                    if self.stopped:
                        return
                code = vcpu_run(self._arena, v)
                if code == RUN_ENDED:
                    return
                if code != RUN_REQUEST:
                    time.sleep(RETRY_PERIOD)
        except BaseException as error:
            self.failure = error
            raise
        finally:
            with self._state:
                self._left += 1
                self._state.notify_all()

    def _settled(self) -> bool:
        return self._parked_harts + self._left == len(self._vcpus)

    def pause(self) -> None:
        with self._state:
            if not self.started or self.stopped or self.parked:
                self.parked = self.parked or (self.started and not self.stopped)
                return
            self.parked = True
            request_pause(self._arena, self._vm)
            while not self._settled():
                self._state.wait()

    def resume(self) -> None:
        with self._state:
            if self.parked and not self.stopped:
                clear_pause(self._arena, self._vm)
                self.parked = False
                self._state.notify_all()

    def wait(self, timeout: float | None) -> int | None:
        limit = None if timeout is None else time.monotonic() + timeout
        with self._state:
            while self.exit_code is None and not self.stopped and self._left < len(self._vcpus):
                left = None if limit is None else limit - time.monotonic()
                if left is not None and left <= 0:
                    return None
                self._state.wait(0.1 if left is None else min(0.1, left))
        if self.exit_code is not None:
            self.stop()
        return self.exit_code

    def stop(self) -> None:
        with self._state:
            first, self.stopped = not self.stopped, True
            if first and self.started:
                request_pause(self._arena, self._vm)
                self._state.notify_all()
        for thread in self._threads:
            thread.join()
        if self._console is not None:
            self._console_over.set()
            self._console.join()
        for t in self._slots if first else ():
            self._host.thread_exit(t)

    # Console

    def _carry_console(self) -> None:
        t = self._host.thread()
        try:
            while not self._console_over.wait(CONSOLE_PERIOD):
                self._drain()
                self._host.housekeeping(t)
                if self._host.low and not self.parked:
                    reclaim(self._arena, self._vm, t)
            self._drain()
        finally:
            self._host.thread_exit(t)

    def _drain(self) -> None:
        while data := self._taken():
            if self._sink is not None:
                with suppress(BrokenPipeError, ValueError):
                    self._sink(data)

    def _taken(self) -> bytes:
        data = bytearray()
        while len(data) < 4096:
            character = console_take(self._arena, self._vm)
            if character < 0:
                break
            data.append(character)
        return bytes(data)

    def send(self, data: bytes) -> None:
        for character in data:
            while not console_send(self._arena, self._vm, character):
                if self.stopped or self.exit_code is not None:
                    return
                time.sleep(RETRY_PERIOD)
