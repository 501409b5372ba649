"""How fast the migrate layer is by itself: a machine whose memory work is compiled, moved between two processes over loopback.

    python tests/migrate/measure.py [MiB] [MB/s dirtied a hart] [none|lz4]

Not a test: it prints numbers and judges nothing. `gnomon bench migrate` measures the real machine.
"""

import multiprocessing
import sys
import threading
import time

import numba
import numpy as np
import xxhash
from fake_machine import PAGE, Machine

from gnomon.migrate import Options, Receiver, migrate


@numba.njit(nogil=True, cache=True)
def gather(memory, indices, out, zero):
    for n in range(len(indices)):
        some = np.uint64(0)
        row = memory[indices[n]]
        for w in range(row.size):
            out[n, w] = row[w]
            some |= row[w]
        zero[n] = some == 0


@numba.njit(nogil=True, cache=True)
def scatter(memory, indices, data):
    for n in range(len(indices)):
        memory[indices[n]] = data[n]


@numba.njit(nogil=True, cache=True)
def write_some(memory, dirty, first, pages, count, seed):
    for _ in range(count):
        seed = (seed * 6364136223846793005 + 1442695040888963407) & 0x7FFFFFFFFFFFFFFF
        page = first + (seed >> 33) % pages
        memory[page, (seed >> 20) & 511] = seed
        dirty[page] = True
    return seed


class Fast(Machine):
    """Full memory, no bookkeeping: as fast as a real machine's compiled paths."""

    _rate = 0.0

    def fill(self, rate):
        self._rate = rate
        self._state["args"] = {"pages": 1}
        self.ram.view(np.uint64)[:] = np.arange(self.pages * 512, dtype=np.uint64).reshape(self.pages, 512) * np.uint64(
            0x9E3779B97F4A7C15
        ) >> np.uint64(32)
        self.touched[:] = True
        return self

    def _run(self, h):
        words, seed, share = self.ram.view(np.uint64), h + 1, self.pages // self.harts
        while self._goes_on(h):
            seed = write_some(words, self.dirty, h * share, share, max(1, int(self._rate * 1e6 / PAGE / 1000)), seed)
            time.sleep(0.001)

    def read_pages(self, indices, out, zero):
        gather(self.ram.view(np.uint64), indices, np.frombuffer(out, np.uint64).reshape(-1, 512), zero)

    def write_pages(self, indices, data):
        scatter(self.ram.view(np.uint64), indices, np.frombuffer(data, np.uint64).reshape(-1, 512))
        self.touched[indices] = True

    def ram_hash(self):
        return self.pages, xxhash.xxh3_128(self.ram.data).hexdigest()


def receive(memory, pipe):
    warm(Fast(8 * PAGE, 1))
    receiver = Receiver("127.0.0.1:0", machine=Fast)
    pipe.send(receiver.address)
    arrival = receiver.receive()
    pipe.send(arrival.digest)
    arrival.machine.stop()


def warm(machine):
    pages = np.arange(8)
    out, zero = np.empty(8 * PAGE, np.uint8), np.empty(8, np.uint8)
    machine.read_pages(pages, out, zero)
    machine.write_pages(pages, memoryview(out))
    machine.write_pages(pages, memoryview(bytes(out)))
    write_some(machine.ram.view(np.uint64), machine.dirty, 0, 8, 1, 1)


def show(r):
    if r.done:
        print(f"{r.number} {r.pages} pages {r.seconds * 1e3:.1f} ms {r.rate:.0f} MB/s, dirtied {r.dirty_rate:.0f} MB/s")


def main():
    size, rate, compress = (sys.argv[1:] + ["1024", "0", "none"][len(sys.argv) - 1 :])[:3]
    memory = int(size) << 20
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=receive, args=(memory, theirs))
    process.start()
    address = ours.recv()
    machine = Fast(memory, 2, name="vm1").fill(float(rate))
    warm(Fast(8 * PAGE, 1))
    machine.start()
    threading.Event().wait(0.3)
    report = migrate(machine, address, options=Options(compress=compress), progress=show)
    assert ours.recv() == report.digest
    print(f"{size} MiB, {rate} MB/s a hart, {compress}: {report.rate:.0f} MB/s,", end=" ")
    print(f"downtime {report.downtime * 1e3:.1f} ms, total {report.seconds:.3f} s")
    process.join()


if __name__ == "__main__":
    main()
