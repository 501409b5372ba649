"""main: does every mistake end in one sentence, a hint and the right exit code, quickly?"""

import os
import pty
import re
import signal
import socket
import subprocess
from contextlib import suppress

import msgspec
import pytest
from cli_rig import FAKE, FOREVER, LONG, REAL, until

from gnomon.cli import main

COMMANDS = ("run", "receive", "migrate", "ps", "stats", "pause", "resume", "stop", "discard", "demo", "bench")


def said(result) -> str:
    return result.stderr.decode()


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["frob"], 2, 'Unknown command "frob"'),
        (["run"], 2, "parameter ELF requires an argument"),
        (["run", "dirty", "--bogus"], 2, "Unknown option: --bogus"),
        (["run", "dirty", "--harts", "two"], 2, "two"),
        (["run", "dirty", "--harts", "0"], 2, "a machine has 1 to 48 harts, and this asks for 0"),
        (["run", "dirty", "--harts", "-3"], 2, "asks for -3"),
        (["run", "dirty", "--memory", "12q"], 2, "the memory cannot be read: '12q'"),
        (["run", "dirty", "--memory", "5000"], 2, "multiple of 4096 bytes"),
        (["run", "dirty", "--start", "x"], 2, "--start"),
        (["run", "dirty", "--name", "../evil"], 2, "not a name of a machine: '../evil'"),
        (["run", "no/such/file"], 1, "cannot read no/such/file: there is no such file"),
        (["run", "dirty", "--trace", "no/such/t.json"], 1, "the trace no/such/t.json cannot be written: No such file or directory"),
        (["run", "/"], 1, "cannot read /: it is a folder"),
        (["run", "/etc/hostname"], 1, "is not an ELF"),
        (["pressure", "--html", "/no/such/p.html"], 2, "there is no folder /no/such to write p.html into"),
        (["bench", "start", "--html", "/no/such/b.html"], 2, "there is no folder /no/such"),
        (["claims", "--html", "/no/such/c.html"], 3, "there is no folder /no/such"),
        (["pressure", "--seed", "-1"], 2, "a seed is a number from 0 to 4294967295: -1"),
        (["stress", "--seed", "99999999999999999999999"], 2, "a seed is a number from 0 to 4294967295: 99999999999999999999999"),
        (["stop", "nobody"], 1, "no machine is named nobody"),
        (["migrate", "nobody", "127.0.0.1:7000"], 1, "no machine is named nobody"),
        (["migrate", "vm1", "7000"], 2, "an address is HOST:PORT, and this is not: '7000'"),
        (["migrate", "vm1", "h:1", "--max-downtime", "50"], 2, "the greatest downtime cannot be read: '50'"),
        (["migrate", "vm1", "h:1", "--bandwidth", "1"], 2, "the bandwidth is at least 64 KiB a second, and 1 is less"),
        (["migrate", "vm1", "h:1", "--compress", "zip"], 2, "zip"),
        (["receive", "localhost"], 2, "an address is HOST:PORT"),
        (["receive", "127.0.0.1:99999"], 2, "an address is HOST:PORT"),
        (["receive", "198.51.100.7:7000"], 1, "cannot listen on 198.51.100.7:7000"),
        (["receive", "127.0.0.1:0", "--timeout", "1"], 2, "the timeout cannot be read: '1'"),
        (["bench", "nothing"], 2, "no bench is named nothing"),
        (["demo", "--seconds", "0"], 2, "1 to 600 seconds"),
    ],
)
def test_does_a_mistake_end_in_one_sentence(gnomon, words, code, says):
    result = gnomon(*words)
    assert result.returncode == code
    assert result.stdout == b""
    first, *rest = said(result).splitlines()
    assert first.startswith("gnomon: ") and says in first and not first.endswith(".")
    assert "Traceback" not in said(result) and "internal" not in said(result)
    assert not rest or (rest[0] == "" and rest[1].startswith("hint: ")), rest


def test_is_a_port_in_use_one_sentence(gnomon):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = gnomon("receive", f"127.0.0.1:{taken.getsockname()[1]}")
    assert result.returncode == 1 and "Address already in use" in said(result) and "port 0" in said(result)


def test_does_help_list_every_command():
    result = subprocess.run([*REAL, "--help"], capture_output=True, check=True)
    assert all(f" {command} " in result.stdout.decode() for command in COMMANDS)


def test_does_help_import_nothing_heavy():
    heavy = "{'numba', 'numpy', 'lz4', 'elftools'}"
    code = f"import sys; from gnomon.cli.main import command; command(['--help']); print(sorted({heavy} & set(sys.modules)))"
    result = subprocess.run([FAKE[0], "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.endswith("[]\n")


@pytest.mark.parametrize("command", COMMANDS)
def test_has_every_command_its_help(gnomon, command):
    result = gnomon(command, "--help")
    assert result.returncode == 0 and b"Usage: gnomon " + command.encode() in result.stdout


def test_does_version_say_the_version(gnomon):
    from gnomon import __version__

    assert gnomon("--version").stdout.decode().strip() == __version__


def test_is_the_guests_exit_code_the_exit_code_and_its_console_stdout(gnomon):
    result = gnomon("run", "dirty", "--append", "ms=50 pages=8")
    assert result.returncode == 0
    assert result.stdout.endswith(b"fake: PASS\n")
    assert result.stderr == b""


def test_does_the_guest_hear_stdin(gnomon):
    """It goes on until it has heard all of it."""
    heard = b"hello guest\n"
    result = gnomon("run", "dirty", "--append", f"pages=8 keys={len(heard)}", stdin=heard)
    assert result.returncode == 0 and b"echo: hello guest\n" in result.stdout


def test_are_events_lines_of_json(gnomon):
    result = gnomon("run", "dirty", "--append", "ms=50 pages=8", "--json")
    events = [msgspec.json.decode(line) for line in result.stdout.splitlines()]
    assert events[0]["event"] == "started" and events[-1] == {"event": "exit", "code": 0}
    assert "".join(e["text"] for e in events if e["event"] == "console").endswith("fake: PASS\n")


@pytest.mark.parametrize("words", [("run", "dirty", "--append", FOREVER), ("receive", "127.0.0.1:0")])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_does_ctrl_c_end_everything_within_a_second(gnomon, words, number, code):
    """Nothing else ends these. The second is kept by a thread that waits for GRACE, and by the test after the next."""
    process = gnomon.start(*words, "--json")
    process.until("listening" if words[0] == "receive" else "console")
    process.signal(number)
    assert process.end() == code
    assert b"Traceback" not in process.err
    assert main.GRACE < 1


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_does_a_process_told_twice_to_end_do_so_quietly(number, code):
    """The second signal comes while the first one's way out is under way."""
    program = """
import signal, sys, time
from gnomon.cli import main
main.GRACE = 600
def slow(*_, **__):
    try:
        print("in", flush=True)
        time.sleep(600)
    finally:
        print("leaving", flush=True)
        time.sleep(0.3)
main.app = slow
main.main()
"""
    with subprocess.Popen([FAKE[0], "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"in\n"
        process.send_signal(number)
        assert process.stdout.readline() == b"leaving\n"
        process.send_signal(number)
        assert process.wait(LONG) == code
        assert process.stderr.read() == b""


def test_is_a_signal_that_a_compilers_callback_drops_quiet_too():
    """ctypes prints what its callbacks raise; the compiler then fails for want of what the callback should have given."""
    program = """
import ctypes, time
from gnomon.cli import main
main.GRACE = 600
def compiler(*_, **__):
    ctypes.CFUNCTYPE(None)(lambda: (print("in", flush=True), time.sleep(600)))()
    while not main._signalled:
        time.sleep(0.01)
    raise RuntimeError("no object")
main.app = compiler
main.main()
"""
    with subprocess.Popen([FAKE[0], "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"in\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(LONG) == 143
        assert process.stderr.read() == b""


def test_does_ctrl_c_end_a_process_whose_main_thread_cannot_hear_it():
    """As in a compiler: whatever the main thread hears, it does not end by itself."""
    code = """
import ctypes
from gnomon.cli import main
main._end_on_signals()
told = False
while True:
    try:
        told = told or print("in", flush=True) is None
        ctypes.CDLL(None).usleep(900_000)
    except KeyboardInterrupt:
        pass
"""
    with subprocess.Popen([FAKE[0], "-c", code], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(LONG) == 130


def test_does_a_reader_who_leaves_end_the_run_quietly(gnomon):
    process = subprocess.Popen(
        [*FAKE, "run", "dirty", "--append", "pages=8 keys=1"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=gnomon.environment,
    )
    with process:
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(LONG) == 141
        assert process.stderr.read() == b""


def test_does_a_reader_who_does_not_read_not_stop_the_guest(gnomon):
    """A full pipe holds up the console's thread, not a vCPU: the guest can still be paused."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with suppress(BlockingIOError):
        while os.write(writer, bytes(4096)):
            pass
    os.set_blocking(writer, True)
    process = subprocess.Popen(
        [*FAKE, "run", "dirty", "--name", "vm1", "--append", "pages=8 keys=1"],
        stdin=subprocess.DEVNULL,
        stdout=writer,
        env=gnomon.environment,
    )
    os.close(writer)
    try:
        until(lambda: gnomon.states() == {"vm1": "running"})
        exits = gnomon.stats("vm1")["harts"]["exits"]  # pages written: the fake guest says a line each 256
        until(lambda: gnomon.stats("vm1")["harts"]["exits"][0] > exits[0] + 512)
        assert gnomon("pause", "vm1").returncode == 0
    finally:
        process.kill()
        process.wait()
        os.close(reader)


def on_terminal(command, environment) -> str:
    """What a command writes to stderr when that is a terminal."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=theirs, env={"TERM": "xterm", **environment}
    )
    os.close(theirs)
    found = b""
    try:
        while data := os.read(ours, 65536):
            found += data
    except OSError:
        pass
    with process:
        process.wait(LONG)
    os.close(ours)
    return found.decode()


def test_is_colour_for_terminals_that_want_it(gnomon):
    environment = {**gnomon.environment, "COLUMNS": "200", "TERM": "xterm"}
    assert "\x1b[31m" in on_terminal([*FAKE, "stop", "nobody"], environment)
    plain = on_terminal([*FAKE, "stop", "nobody"], {**environment, "NO_COLOR": "1"})
    assert "\x1b[3" not in plain and "no machine is named nobody" in plain


def test_is_an_error_of_our_own_one_sentence_too(monkeypatch, capsys):
    from gnomon.cli import main, ps

    monkeypatch.setattr(ps.control, "names", lambda: 1 / 0)
    assert main.command(["ps"]) == 1
    assert re.search(r"gnomon: internal error: ZeroDivisionError: division by zero", capsys.readouterr().err)


@pytest.mark.parametrize(("code", "left"), [(0, 0), (7, 7), (255, 255), (256, 255), (1337, 57), (0x300, 255)])
def test_can_a_guests_failure_look_like_success_because_a_process_has_eight_bits(code, left):
    from gnomon.cli.main import status

    assert status(code) == left


def test_is_a_full_disk_behind_stdout_told_in_one_sentence(gnomon):
    with open("/dev/full", "wb") as full:
        ended = subprocess.run([*REAL, "check"], stdout=full, stderr=subprocess.PIPE, env=gnomon.environment, timeout=120, check=False)
    assert ended.returncode == 2
    assert ended.stderr.decode().startswith("gnomon: what it found cannot be written: No space left on device")


def test_does_a_command_work_whose_stdout_is_closed(gnomon):
    words = ["sh", "-c", 'exec "$@" >&-', "sh", *REAL, "check"]
    ended = subprocess.run(words, stderr=subprocess.PIPE, env=gnomon.environment, timeout=120, check=False)
    assert (ended.returncode, ended.stderr) == (0, b"")


def test_does_a_locale_of_few_letters_matter(gnomon):
    """Sources are UTF-8 whatever the user's locale is, and what it cannot show is a question mark."""
    environment = {**gnomon.environment, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    ended = subprocess.run([*REAL, "check", "tutorial/treiber", "--set", "NODES=2"], capture_output=True, env=environment, timeout=120)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith(b"tutorial/treiber  model=tso  proved")
