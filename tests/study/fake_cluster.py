"""A Dask cluster in this process, as a sharded exploration sees one: every worker has a memory of its own, and dies when a test says so."""

import pickle

from gnomon.study import shard_task


class FakeFuture:
    """A task's; `answer` is None until it has one."""

    def __init__(self, cluster, address):
        self.cluster, self.address, self.answer, self.callbacks = cluster, address, None, []

    def add_done_callback(self, callback):
        if self.answer is not None:
            callback(self)

    def result(self, timeout):
        if self.address not in self.cluster.workers:
            raise TimeoutError
        return pickle.loads(self.answer)

    def release(self):
        pass


class FakeCluster:
    """What shard_fleet.py asks of a distributed.Client. `fate(n)` is what happens at the n-th task: "", "dies" (its worker, before it),
    "dies after" (with the answer), "forgets" (its worker, all it had), "joins" (another worker)."""

    status = "running"

    def __init__(self, workers=2, fate=lambda n: ""):
        self.fate, self.tasks, self.joined, self.dead, self.did = fate, 0, 0, 0, {}
        self.workers = {}
        for _ in range(workers):
            self.join()

    def join(self):
        self.workers[f"w{self.joined}"] = {}
        self.joined += 1

    def die(self, address):
        del self.workers[address]
        self.dead += 1
        if not self.workers:
            self.join()

    def nthreads(self):
        return dict.fromkeys(self.workers, 1)

    def run(self, function, *words, workers=None, wait=True, on_error="raise"):
        found = {}
        for address in workers or list(self.workers):
            shard_task._held = self.workers[address]
            found[address] = function(*words)
        return found

    def cancel(self, futures):
        pass

    def submit(self, function, *words, key, workers, allow_other_workers, pure):
        (address,) = workers
        assert not allow_other_workers and not pure
        fate = self.fate(self.tasks)
        self.tasks += 1
        future = FakeFuture(self, address)
        if fate == "joins":
            self.join()
        if fate == "dies" and address in self.workers:
            self.die(address)
        if address not in self.workers:
            return future
        if fate == "forgets":
            self.workers[address] = {}
        shard_task._held = self.workers[address]
        future.answer = pickle.dumps(function(*pickle.loads(pickle.dumps(words))))
        self.did[address] = self.did.get(address, 0) + 1
        if fate == "dies after":
            self.die(address)
        return future
