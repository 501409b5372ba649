"""A job that costs nothing: sleeps `harvest` microseconds, obeys `append`. Preloaded in a Dask worker it takes the real one's place."""

import os
import signal
import sys
import time
from pathlib import Path

import msgspec

PASS = 36
"""With FAKE_JOB_GATE, jobs of this seed and above wait until there is a file of that name."""


def main():
    from gnomon.study.job import die_with

    document = msgspec.json.decode(sys.stdin.buffer.read())
    die_with(document["parent"])
    asked = document["parameters"]
    log = os.environ.get("FAKE_JOB_LOG")
    if log:
        with open(log, "a") as file:
            file.write(f"{os.getpid()} {asked['seed']}\n")
    gate = os.environ.get("FAKE_JOB_GATE")
    while gate and asked["seed"] >= PASS and not os.path.exists(gate):
        time.sleep(0.01)
    time.sleep(asked["harvest"] / 1e6)
    if "crash" in asked["append"]:
        print("first words\nlast words", file=sys.stderr)
        sys.exit(9)
    if "hog" in asked["append"]:
        kept = bytearray(300 << 20)
        time.sleep(3600)
        kept.clear()
    if "murder" in asked["append"]:
        os.kill(document["parent"], signal.SIGKILL)
        time.sleep(3600)
    if "abort" in asked["append"]:
        os.abort()
    Path(sys.argv[1]).write_bytes(msgspec.json.encode({"seed": asked["seed"], "pid": os.getpid(), "word": "fine"}))


def dask_setup(worker):
    from gnomon.study import limited

    limited.COMMAND[:] = [sys.executable, __file__]


if __name__ == "__main__":
    main()
