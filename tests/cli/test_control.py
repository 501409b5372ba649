"""control: is a name one machine's, and does a dead process leave nothing in the way?"""

import os
import socket
import threading

import msgspec
import pytest
from cli_rig import LONG

from gnomon.cli import control
from gnomon.errors import GnomonError


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return control.directory()


def test_is_the_folder_ours_alone(place):
    assert place.stat().st_mode & 0o777 == 0o700
    place.chmod(0o755)
    with pytest.raises(GnomonError, match=r"nobody else can enter: owner .*, mode 0755"):
        control.directory()


def test_is_a_link_in_place_of_the_folder_refused(tmp_path, monkeypatch):
    (tmp_path / "gnomon").symlink_to("/tmp")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with pytest.raises(GnomonError, match="must be a folder of yours"):
        control.directory()


def test_is_a_folder_that_cannot_be_made_one_sentence(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "file"))
    with pytest.raises(GnomonError, match="control sockets cannot be kept in"):
        control.directory()


def test_can_two_machines_have_one_name(place):
    claim = control.Claim("vm1")
    with pytest.raises(GnomonError, match=f"the name is taken by process {os.getpid()}: vm1"):
        control.Claim("vm1")
    other = control.claim_free("vm1")
    assert other.name == "vm1-2"
    claim.close()
    other.close()
    again = control.Claim("vm1")
    again.close()
    assert list(place.iterdir()) == []


def test_is_a_path_too_long_for_the_kernel_one_sentence(tmp_path, monkeypatch):
    deep = tmp_path / ("d" * 60)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(deep))
    with pytest.raises(GnomonError, match="more than 107"):
        control.Claim("n" * 63)


def test_does_a_request_bring_events_and_a_result(place):
    def handle(request, reply):
        reply.event({"half": request.arguments["x"] / 2})
        return request.arguments["x"] * 2

    server = control.Server(control.Claim("vm1"), handle)
    events = []
    assert control.ask("vm1", "double", {"x": 21}, on_event=events.append) == 42
    assert events == [{"half": 10.5}]
    server.close()
    with pytest.raises(GnomonError, match="no machine is named vm1"):
        control.ask("vm1", "double")


def test_does_an_error_keep_its_hint_and_code(place):
    def handle(request, reply):
        raise GnomonError("it cannot be", "try later", exit_code=3)

    server = control.Server(control.Claim("vm1"), handle)
    with pytest.raises(GnomonError, match="it cannot be") as caught:
        control.ask("vm1", "anything")
    assert (caught.value.hint, caught.value.exit_code) == ("try later", 3)
    server.close()


@pytest.mark.parametrize(
    "line", [b"\n", b"nonsense\n", b'{"command": 5}\n', b'{"command": "x", "more": 1}\n', b"[" * 70000 + b"\n", b"\xff\xfe\n"]
)
def test_does_a_request_that_is_none_leave_the_machine_unharmed(place, line):
    server = control.Server(control.Claim("vm1"), lambda request, reply: "fine")
    with socket.socket(socket.AF_UNIX) as raw:
        raw.connect(str(place / "vm1.sock"))
        raw.sendall(line)
        answer = msgspec.json.decode(raw.makefile("rb").readline())
        assert answer["done"] and "error" in answer
    assert control.ask("vm1", "x") == "fine"
    server.close()


def test_is_a_client_that_leaves_noticed(place):
    asked, left = threading.Event(), threading.Event()

    def handle(request, reply):
        with reply.when_hung_up(left.set):
            asked.set()
            left.wait(LONG)

    server = control.Server(control.Claim("vm1"), handle)
    with socket.socket(socket.AF_UNIX) as raw:
        raw.connect(str(place / "vm1.sock"))
        raw.sendall(b'{"command":"wait"}\n')
        assert asked.wait(LONG)
        assert not left.is_set()
    assert left.wait(LONG)
    server.close()


def test_does_ps_find_no_dead_machine(gnomon):
    process = gnomon.run("vm1")
    assert gnomon.states() == {"vm1": "running"}
    process.kill()
    assert gnomon.states() == {}
    again = gnomon.run("vm1")
    assert gnomon.states() == {"vm1": "running"}
    again.kill()
    result = gnomon("stop", "vm1")
    assert result.returncode == 1 and b"no machine is named vm1" in result.stderr
