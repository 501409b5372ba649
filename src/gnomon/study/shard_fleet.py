"""shard_fleet: which worker of the cluster has which shards, and a level's tasks done in spite of workers that die, come late or forget.

A task goes to the worker that has its shards, and nowhere else: Dask would move it for less than what a shard weighs. When that worker is
gone, the task goes to another one with the shards' logs; a task that has cost FATAL workers is given up.
"""

from __future__ import annotations

import queue
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from contextlib import suppress
from dataclasses import dataclass, field

import dask
import distributed
import numpy as np
from distributed.scheduler import KilledWorker

from gnomon.check.portion import Assumed
from gnomon.errors import GnomonError
from gnomon.study.cluster import strangers
from gnomon.study.shard_task import Done, Level, Missing, Stranger, Turn, Wanted, forget, work

LOOK = 0.2
"""Seconds between two looks at the clock and at the workers while tasks run."""
FEW, MANY = 500, 40_000
"""States that have come for a task's shards: with fewer another task does not pay, with more it is long before anybody can say stop."""
PATIENCE = 5.0
"""Seconds for an answer to come over; doubled each time that it does not."""
FATAL = 4


class Gone(GnomonError):
    """The cluster is no more."""

    def __init__(self):
        super().__init__("the scheduler has gone, and with it the exploration", "start it again, and run the same command")


@dataclass
class Task:
    """Some shards' part in a level."""

    shards: tuple[int, ...]
    home: str
    deaths: int = 0
    patience: float = PATIENCE
    future: distributed.Future | None = None
    answer: Done | None = None


@dataclass
class Fleet:
    """The workers of a cluster, and the homes of shards among them."""

    client: distributed.Client
    shards: int
    note: Callable[[str], None]
    homes: list[str] = field(default_factory=list)
    threads: dict[str, int] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)

    def look(self) -> None:
        """See which workers are there that run this program."""
        if self.client.status != "running":
            raise Gone()
        try:
            there = self.client.nthreads()
            new = [address for address in there if address not in self.threads and address not in self.refused]
            unfit = strangers(self.client, new) if new else {}
        except (OSError, TimeoutError):
            raise Gone() from None
        for address, why in unfit.items():
            self.refuse(address, why)
        self.threads = {address: count for address, count in there.items() if address not in self.refused}

    def refuse(self, address: str, why: str) -> None:
        self.refused.add(address)
        self.threads.pop(address, None)
        self.note(f"not used: {why}")

    def spread(self, look: Callable[[], None]) -> None:
        """Give every worker its share of the shards, moving as few as it takes. Waits for a first worker; `look` may raise."""
        self.look()
        if not self.threads:
            self.note("no worker is there, waiting for one: dask worker ADDRESS")
        while not self.threads:
            look()
            time.sleep(LOOK)
            self.look()
        addresses, total = sorted(self.threads), sum(self.threads.values())
        ends = [self.shards * sum(self.threads[a] for a in addresses[: n + 1]) // total for n in range(len(addresses))]
        room = dict(zip(addresses, np.diff(ends, prepend=0).tolist(), strict=True))
        homes = self.homes or [""] * self.shards
        for shard, home in enumerate(homes):
            if room.get(home, 0):
                room[home] -= 1
            else:
                homes[shard] = ""
        free = [address for address, count in room.items() for _ in range(count)]
        self.homes = [home or free.pop() for home in homes]

    def tasks(self, sizes: dict[int, int]) -> list[Task]:
        """A level's shards, with how many states have come for each, as tasks."""
        found = []
        for home in sorted(set(self.homes)):
            mine = [shard for shard in sorted(sizes) if self.homes[shard] == home]
            states = sum(sizes[shard] for shard in mine)
            pieces = min(len(mine), max(-(-states // MANY), min(self.threads[home], -(-states // FEW))))
            found += [Task(tuple(piece.tolist()), home) for piece in np.array_split(mine, pieces or 1) if len(piece)]
        return found

    def elsewhere(self, task: Task) -> None:
        """Another worker becomes the home of a task's shards. Stays as it is where there is none."""
        if self.threads:
            task.home = min(self.threads, key=lambda address: (self.homes.count(address) / self.threads[address], address))
            for shard in task.shards:
                self.homes[shard] = task.home

    def submit(self, *words, home: str) -> distributed.Future:
        """Have a worker do shard_task.work()."""
        key = f"gnomon-shards-{uuid.uuid4().hex}"
        with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 TiB"}):
            return self.client.submit(work, *words, key=key, workers=[home], allow_other_workers=False, pure=False)

    def forget(self, run: str) -> None:
        """A search is over: workers need not keep its shards."""
        if self.threads:
            self._say(self.client.run, forget, run, workers=list(self.threads), wait=False, on_error="ignore")

    def cancel(self, futures: list[distributed.Future]) -> None:
        """Nobody waits for these any more."""
        if futures:
            self._say(self.client.cancel, futures)

    def _say(self, what: Callable, *words, **options) -> None:
        """Tell the cluster something that need not reach it."""
        if self.client.status == "running":
            with suppress(OSError, TimeoutError):
                what(*words, **options)


class Work:
    """A level while its tasks are done."""

    def __init__(
        self,
        fleet: Fleet,
        level: Level,
        assumed: Assumed,
        turns: Callable[[Sequence[int], bool], tuple[Turn, ...]],
        look: Callable[[], None],
        number: Callable[[int], Assumed],
    ):
        """turns(shards, logs) is what a task is about, with or without the shards' logs; `look` is called now and then, and may raise;
        `number` numbers a lock and says what to assume from then on."""
        self.fleet, self.level, self.assumed = fleet, level, assumed
        self.turns, self.look, self.number = turns, look, number
        self.ended: queue.SimpleQueue[distributed.Future] = queue.SimpleQueue()

    def do(self, sizes: dict[int, int]) -> list[Done]:
        """Every task's answer, in an order that does not depend on who was first."""
        self.fleet.spread(self.look)
        tasks = self.fleet.tasks(sizes)
        try:
            for task in tasks:
                self._give(task, logs=False)
            looked = time.monotonic()
            while any(task.answer is None for task in tasks):
                try:
                    ended = self.ended.get(timeout=LOOK)
                except queue.Empty:
                    ended = None
                for task in tasks:
                    if ended is not None and task.future is ended:
                        self._take(task)
                if time.monotonic() - looked > LOOK:
                    self.look()
                    self._seek(tasks)
                    looked = time.monotonic()
        finally:
            self.fleet.cancel([task.future for task in tasks if task.future is not None and task.answer is None])
        return [task.answer for task in tasks]

    def _give(self, task: Task, logs: bool) -> None:
        task.future = self.fleet.submit(self.level, self.assumed, self.turns(task.shards, logs), home=task.home)
        task.future.add_done_callback(self.ended.put)

    def _take(self, task: Task) -> None:
        try:
            answer = task.future.result(timeout=task.patience)
        except TimeoutError:  # its worker may have died with the answer
            task.patience *= 2
            self.ended.put(task.future)
            return
        except (KilledWorker, CancelledError):
            if self.fleet.client.status != "running":
                raise Gone() from None
            self._bury(task)
            return
        except GnomonError:
            raise
        except Exception as error:
            raise GnomonError(f"worker {task.home} failed: {type(error).__name__}: {error}") from error
        match answer:
            case Done():
                task.answer = answer
                task.future.release()
            case Missing():
                self._give(task, logs=True)
            case Wanted(lock):
                self.assumed = self.number(lock)
                self._give(task, logs=False)
            case Stranger(why):
                self.fleet.refuse(task.home, why)
                if not self.fleet.threads:
                    raise GnomonError(f"no worker can take part: {why}", "restart the workers with the sources that are here")
                self._move(task)

    def _move(self, task: Task) -> None:
        self.fleet.elsewhere(task)
        self._give(task, logs=True)

    def _bury(self, task: Task) -> None:
        """A task's worker died."""
        task.deaths += 1
        if task.deaths == FATAL:
            raise GnomonError(
                f"{FATAL} workers died, one after the other, with the same part of the exploration",
                "more memory for each (dask worker --memory-limit), or more --shards",
            )
        self._move(task)

    def _seek(self, tasks: list[Task]) -> None:
        """Give what workers had that are gone to others."""
        self.fleet.look()
        lost = [task for task in tasks if task.answer is None and task.home not in self.fleet.threads]
        if lost and self.fleet.threads:
            self.fleet.cancel([task.future for task in lost])
            for task in lost:
                self._bury(task)
