"""A machine without an MMU: numpy memory, one Python thread a hart that writes pages, a real dirty bitmap. For tests of migrate and cli.

It keeps the interface of gnomon.vm.machine.Machine and checks itself: every hart owns a range of pages, writes sequence numbers over them
and knows what each must hold; at its end it verifies all of them and exits 0, or 1 where one is not as it left it.
"""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path

import msgspec
import numpy as np
import xxhash

PAGE = 4096
NAMES = ("dirty", "writable", "protected", "unmapped", "taken back", "untouched")


def gather(memory, indices, out, zero):
    data = np.frombuffer(out, np.uint8).reshape(-1, PAGE)
    np.take(memory, indices, axis=0, out=data, mode="clip")
    np.logical_not(data.view(np.uint64).any(axis=1), out=zero.view(bool))


class Snapshot:
    def __init__(self, machine, gfns):
        self._machine = machine
        self.gfns = gfns
        self.ended = None

    def commit(self):
        assert self.ended is None
        self.ended = "committed"

    def merge_back(self):
        assert self.ended is None
        self.ended = "merged back"
        with self._machine.lock:
            self._machine.dirty[self.gfns] = True


class DirtyLog:
    def __init__(self, machine):
        self._machine = machine
        self._first = False

    def enable(self):
        self._machine.logging, self._first = True, True

    def disable(self):
        self._machine.logging = False

    @property
    def enabled(self):
        return self._machine.logging

    def harvest(self):
        machine = self._machine
        machine.harvests += 1
        with machine.lock:
            taken = machine.dirty | machine.touched if self._first else machine.dirty.copy()
            machine.dirty[:] = False
            self._first = False
        snapshot = Snapshot(machine, np.flatnonzero(taken).astype(np.int64))
        machine.snapshots.append(snapshot)
        return snapshot

    def peek_count(self):
        return int(np.count_nonzero(self._machine.dirty))


class Machine:
    """Options come as bootargs of load(): pages= a hart, rate= pages a second and hart, ms= of guest time, seed=, keys= instead of ms=: it
    ends when so many characters were typed into it, and not before, however slow or fast the machine under it is."""

    made: list = []  # noqa: RUF012  every machine of this process, for tests that look at the other side

    def __init__(self, memory, harts, *, name=None, host=None, console=None, shadow_pages=None, design="", tuning=""):
        if memory > 1 << 40:
            raise ValueError(f"a machine has at most 1 TiB, not {memory} bytes")
        self.memory, self.harts, self.name = memory, harts, name
        self.pages, self.base_gfn = memory // PAGE, 0x80000
        self.ram = np.zeros((self.pages, PAGE), np.uint8)
        self.dirty, self.touched = np.zeros(self.pages, bool), np.zeros(self.pages, bool)
        self.lock = threading.Lock()
        self.logging = False
        self.snapshots = []
        self.harvests = 0
        self.throttle = 0
        self.throttles = []
        self.exit_code = None
        self.input = b""
        self._console = console or (lambda _: None)
        self._state = {"args": {}, "harts": [{"next": 0, "sequence": []} for _ in range(harts)], "left": 3.0, "typed": 0}
        self._go = threading.Event()
        self._over = threading.Event()
        self._changed = threading.Condition()
        self._parked: set[int] = set()
        self._threads = []
        Machine.made.append(self)

    # Life

    def load(self, elf_path, *, bootargs="", start="auto", initrd=None):
        data = Path(elf_path).read_bytes()
        if data[:4] != b"\x7fELF":
            raise ValueError(f"{elf_path} is not an ELF file: it begins with {data[:4]!r}")
        args = {"pages": 64, "rate": 0, "ms": 3000, "seed": 1, "keys": 0}
        args.update({k: int(v) for k, _, v in (word.partition("=") for word in bootargs.split()) if k in args})
        self._state["args"], self._state["left"] = args, args["ms"] / 1e3
        for hart in self._state["harts"]:
            hart["sequence"] = [0] * args["pages"]
        return self

    def start(self):
        self._go.set()
        for h in range(self.harts):
            thread = threading.Thread(target=self._hart, args=(h,), daemon=True)
            self._threads.append(thread)
            thread.start()
        return self

    def pause(self):
        with self._changed:
            self._go.clear()
            self._changed.wait_for(lambda: len(self._parked) == len(self._threads))

    def resume(self):
        with self._changed:
            self._go.set()
            self._changed.notify_all()

    def stop(self):
        with self._changed:
            self._over.set()
            self._go.set()
            self._changed.notify_all()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join()

    def wait(self, timeout=None):
        end = None if timeout is None else time.monotonic() + timeout
        while self.exit_code is None and not self._over.is_set() and (end is None or time.monotonic() < end):
            time.sleep(0.005)
        return self.exit_code

    @property
    def paused(self):
        return bool(self._threads) and not self._go.is_set()

    @property
    def running(self):
        return bool(self._threads) and self._go.is_set() and not self._over.is_set() and self.exit_code is None

    @property
    def state_name(self):
        return "ended" if self.exit_code is not None else "paused" if self.paused else "running" if self.running else "stopped"

    # Guest

    def _page(self, hart, n):
        return 1 + hart * self._state["args"]["pages"] + n

    def _fill(self, page, sequence):
        self.ram[page].view(np.uint64)[:] = page * 1000003 + sequence
        self.touched[page] = True
        self.dirty[page] = True

    def _hart(self, h):
        try:
            self._run(h)
        finally:
            with self._changed:
                self._parked.add(h)  # for good
                self._changed.notify_all()

    def _goes_on(self, h):
        """Stand still while the machine is paused; False when it is over."""
        with self._changed:
            while not self._go.is_set():
                self._parked.add(h)
                self._changed.notify_all()
                self._changed.wait()
            self._parked.discard(h)
            return not self._over.is_set()

    def _run(self, h):
        args, mine = self._state["args"], self._state["harts"][h]
        rng = random.Random(args["seed"] * 64 + h + mine["next"])
        while self._goes_on(h):
            if h == 0 and self._told():
                return self._finish()
            before = time.monotonic()
            n = rng.randrange(args["pages"])
            with self.lock:
                mine["sequence"][n] += 1
                mine["next"] += 1
                self._fill(self._page(h, n), mine["sequence"][n])
            if args["rate"]:
                time.sleep(1 / args["rate"])
            elif mine["next"] % 64 == 0:
                time.sleep(0.001)
            if self.throttle:
                time.sleep((time.monotonic() - before) * self.throttle / (100 - self.throttle))
            spent = time.monotonic() - before
            if h == 0:
                self._state["left"] -= spent
                if mine["next"] % 256 == 0:
                    self._console(b"fake: %d pages written\n" % mine["next"])

    def _told(self):
        keys = self._state["args"]["keys"]
        return self._state["typed"] >= keys if keys else self._state["left"] <= 0

    def _finish(self):
        wrong = self.wrong_pages()
        for page in wrong:
            self._console(b"fake: page %d is not as its hart left it\n" % page)
        self._console(b"fake: FAIL\n" if wrong else b"fake: PASS\n")
        self.exit_code = 1 if wrong else 0
        self._over.set()

    def wrong_pages(self):
        with self.lock:
            return [
                self._page(h, n)
                for h, hart in enumerate(self._state["harts"])
                for n, sequence in enumerate(hart["sequence"])
                if sequence and (self.ram[self._page(h, n)].view(np.uint64) != self._page(h, n) * 1000003 + sequence).any()
            ]

    # What migrate and cli need

    def send_console(self, data):
        self.input += data
        self._console(b"echo: " + data)
        self._state["typed"] += len(data)

    def dirty_log(self):
        return DirtyLog(self)

    def read_pages(self, indices, out, zero):
        gather(self.ram, indices, out, zero)

    def write_pages(self, indices, data):
        self.ram[indices] = np.frombuffer(data, np.uint8).reshape(-1, PAGE)
        self.touched[indices] = True

    def clear_pages(self, indices):
        self.ram[indices] = 0

    def ram_hash(self):
        pages = np.flatnonzero(self.touched)
        pages = pages[self.ram[pages].view(np.uint64).any(axis=1)]
        total = xxhash.xxh3_64()
        for first in range(0, len(pages), 4096):
            total.update(pages[first : first + 4096].tobytes())
            total.update(self.ram[pages[first : first + 4096]].data)
        return self.pages, total.hexdigest()

    def get_state(self):
        return msgspec.msgpack.encode(self._state)

    def set_state(self, state):
        try:
            found = msgspec.msgpack.decode(state)
            assert len(found["harts"]) == self.harts
            assert set(found) == {"args", "harts", "left", "typed"}
            assert found["args"]["pages"] * self.harts < self.pages
        except (msgspec.DecodeError, AssertionError, KeyError, TypeError) as error:
            raise ValueError(f"not a state of {self.harts} harts: {error}") from None
        self._state = found

    @property
    def config(self):
        return {"memory": self.memory, "harts": self.harts, "shadow_pages": 64, "name": self.name}

    def set_throttle(self, percent):
        self.throttle = percent
        self.throttles.append(percent)

    def stats(self):
        cache = {"live": 3, "pages": 1, "per_page": 4, "waiting": 2}
        written = [hart["next"] for hart in self._state["harts"]]
        return {
            "faults": {"slow": 12, "fast": 34},
            "tlb": {"flushes": 5},
            "mmu": {"shadow pages": 7, "shadow pages limit": 64, "remote flushes": self.harvests},
            "dirty log": {
                "enabled": int(self.logging),
                "harvests": self.harvests,
                "pages harvested": sum(len(snapshot.gfns) for snapshot in self.snapshots),
            },
            "slabs": {"shadow page": cache, "page table": cache},
            "frames": {"total": self.pages + 100, "static": 60, "free": 30, "low": 8},
            "rcu": {"grace_periods_completed": 0, "callbacks_waiting": 0},
            "harts": {"instructions": [1000 * n for n in written], "exits": written},
        }

    def memory_map(self, cells):
        cells = min(cells, self.pages)
        states = np.where(self.dirty & self.logging, 0, np.where(self.touched, 1, 5))
        of_cell = np.array_split(states, cells)
        return {
            "pages": self.pages,
            "looked": self.pages,
            "logged": int(self.dirty.sum()) if self.logging else 0,
            "counts": dict(zip(NAMES, np.bincount(states, minlength=len(NAMES)).tolist(), strict=True)),
            "cells": "".join("dw...."[part.min()] for part in of_cell),
            "dirty": "".join("9" if (part == 0).any() else "0" for part in of_cell),
        }
