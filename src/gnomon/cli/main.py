"""main: from words to a command, and from whatever happened to an exit code.

    0    it worked; for run and receive: the guest's own exit code
    1    it failed           2    asked for wrongly
    3    a hand-over is in doubt and waits for a decision        (check, claims, replay and litmus have their own, see VERDICTS)
    130  Ctrl-C, within a second whatever the process is doing        143  SIGTERM

Data goes to stdout, everything else to stderr. An error is `gnomon: what`, an empty line, `hint: what to do`; never a traceback.
"""

from __future__ import annotations

import errno
import os
import signal
import socket
import sys
import threading
import time
from contextlib import suppress

from cyclopts import App, CycloptsError, Parameter

import gnomon
from gnomon.cli import say
from gnomon.errors import GnomonError

GRACE = 0.7
"""Seconds between the signal and the end of the process, where its own way out is not quicker."""

KEEPING = 30.0
"""The same after Ctrl-C where something was found that is still to be said: a busy host may take longer than GRACE for it."""

app = App(
    name="gnomon",
    help="A lockless shadow MMU you can run, move and prove.",
    version=gnomon.__version__,
    default_parameter=Parameter(negative=()),
    help_format="plaintext",
    result_action="return_value",
    suppress_keyboard_interrupt=False,
)
COMMANDS = {
    "run": ("run:run", "Run a guest: its console on stdout and stdin, its exit code as exit code."),
    "receive": ("receive:receive", "Wait for a migrating guest and run it to its end."),
    "migrate": ("migrate:migrate", "Move a running machine to where `gnomon receive` waits."),
    "ps": ("ps:ps", "Show the named machines."),
    "stats": ("ps:stats", "Show what the MMU of a machine counted."),
    "top": ("top.command:top", "Watch a machine: harts, memory, dirty pages, slabs, RCU, migration."),
    "pause": ("act:pause", "Stop every vCPU of a machine until resume."),
    "resume": ("act:resume", "Let a machine go on; in doubt, decide that this side owns it."),
    "stop": ("act:stop", "End a machine."),
    "discard": ("act:discard", "In doubt, decide that the other side owns a machine, and end it here."),
    "move": ("host_frames:move", "Put pages of a running machine into other frames of the host."),
    "take-back": ("host_frames:take_back", "Take frames of zero pages back from a running machine."),
    "share": ("host_frames:share", "Let pages of a running machine that hold the same share a frame."),
    "demo": ("demo:demo", "Watch a guest move between two processes while it writes memory."),
    "check": ("check_commands:check", "Explore every interleaving of a scenario: proved, violated or bounded."),
    "designs": ("designs:designs", "The design space: what --design may name, and what the checker says of it."),
    "claims": ("check_commands:claims", "What the explorer says of the claims of the 2013 thread."),
    "replay": ("replay:replay", "Step through a counterexample that check has saved."),
    "litmus": ("check_commands:litmus", "Run herd's x86 litmus tests: Never, Sometimes or Always."),
    "stress": ("stress:stress", "Search the running MMU for a lost page, on real threads."),
    "pressure": ("pressure:pressure", "Machines and another consumer on one pool: who is bounded, who is left without."),
    "bench": ("bench:bench", "Measure, as ratios in one run."),
    "report": ("report:report", "Make one page of it all: claims, designs, benches, pressure, studies."),
    "study": ("study:study", "Run every combination of a sweep on a cluster, the results in a DuckDB file."),
}
"""Where each command is, and its line in the overview: imported only when it is called."""
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EIO)
VERDICTS = ("check", "claims", "replay", "litmus")
"""What they found is their exit code: 1 is violated and 2 undecided, so what fails without a verdict is 2, and misuse 3."""

for n, (word, (place, line)) in enumerate(COMMANDS.items()):
    app.command(f"gnomon.cli.{place}", name=word, help=line, sort_key=n)


class Terminated(BaseException):
    """SIGTERM."""


def main() -> None:
    """The console script. Leaves without waiting for threads: what runs in them has nothing left to say."""
    _end_on_signals()
    _make_streams_take_anything()
    code = command(None)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(status(code))


def _make_streams_take_anything() -> None:
    """A stream that the caller has closed goes nowhere, and one that knows few letters gets a ? for the others."""
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    sys.stdout.reconfigure(errors="replace")


def status(code: int) -> int:
    """The eight bits of an exit code that a process can leave behind; a guest's 256 is no success, so 255 stands for it."""
    return code & 0xFF or (255 if code else 0)


def command(words: list[str] | None) -> int:
    """Run one command, by default that of the command line; returns its exit code. Signals stay whoever's they are who calls this."""
    asked = (sys.argv[1:] if words is None else words)[:1]
    failed, misuse = (2, 3) if asked and asked[0] in VERDICTS else (1, 2)
    try:
        code = app(words, exit_on_error=False, print_error=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except GnomonError as error:
        say.error(error)
        return {1: failed, 2: misuse}.get(error.exit_code, error.exit_code)
    except CycloptsError as error:
        chain = " ".join(("gnomon", *(error.command_chain or ())))
        message, _, _ = str(error).partition(". Available")  # the overview lists them better
        say.error(GnomonError(message.removesuffix("."), f"{chain} --help"))
        return misuse
    except KeyboardInterrupt:
        return 130
    except Terminated:
        return 143
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter complains when it flushes at its end
        return 141
    except Exception as error:
        if _signalled:
            return 128 + _signalled[0]  # a compiler's callback dropped the exception that the signal raised, and failed for it
        if isinstance(error, OSError) and error.errno in FULL:
            say.error(GnomonError(f"{error.filename or 'what it found'} cannot be written: {error.strerror}", "make room there"))
            return failed
        if os.environ.get("GNOMON_TRACEBACK"):
            raise
        say.error(GnomonError(f"internal error: {type(error).__name__}: {error}", "GNOMON_TRACEBACK=1 shows where; please report it"))
        return failed


def _end_on_signals() -> None:
    """SIGINT and SIGTERM end the process within a second, also from inside a compiler or a compiled loop: the C handler writes the
    signal's number to a socket at once, and a thread that reads it allows the main thread GRACE seconds for its own way out."""

    def leave(number, _):
        for heard in (signal.SIGINT, signal.SIGTERM):
            signal.signal(heard, signal.SIG_IGN)  # one is enough: the next would end the way out, with a traceback
        sys.unraisablehook = lambda _: None  # a compiler's callback that drops the exception raised here would print it
        raise KeyboardInterrupt if number == signal.SIGINT else Terminated

    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, leave)

    def watch():
        while got := ours.recv(1):
            if got[0] in (signal.SIGINT, signal.SIGTERM):
                _signalled.append(got[0])
                time.sleep(KEEPING if _keeps and got[0] == signal.SIGINT else GRACE)
                os._exit(128 + got[0])

    _kept.append(theirs)
    threading.Thread(target=watch, name="gnomon-signals", daemon=True).start()


def keep_what_is_found() -> None:
    """From here on Ctrl-C ends a search, and what it found is said before the process ends."""
    _keeps.append(True)


_keeps: list[bool] = []

_signalled: list[int] = []
"""The signals that ask this process to end, as they came."""

_kept: list = []
"""The writing end of the signal socket: closed, it would take the wakeup descriptor with it."""
