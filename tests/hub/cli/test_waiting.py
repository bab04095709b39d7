"""`publish --wait` against a hub to which edges are connected, as a test plays them over the real stream."""

import queue
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from core.bundle import content_hash
from core.frame import bundle_signing_bytes
from onevoice.v1 import sync_pb2, sync_pb2_grpc
from tests.hub.catalogues import central, changed
from tests.hub.cli.conftest import Command, runner
from tests.hub.running import KEYS, RunningHub, until

Judge = Callable[[sync_pb2.Bundle], str]


class PlayedEdge:
    """Connects, and answers each bundle with what `judge` says: nothing for active, else an error."""

    def __init__(self, hub: RunningHub, edge_id: str, judge: Judge) -> None:
        self._hub = hub
        self._judge = judge
        self._edge_id = edge_id
        self._outbox: queue.Queue[sync_pb2.EdgeMessage | None] = queue.Queue()
        self.bundles: list[sync_pb2.Bundle] = []
        self.welcome: sync_pb2.Welcome | None = None

    def __enter__(self) -> "PlayedEdge":
        self._channel = grpc.insecure_channel(self._hub.target)
        hello = sync_pb2.Hello(edge_id=self._edge_id, protocol=1)
        self._outbox.put(sync_pb2.EdgeMessage(hello=hello))
        metadata = (("authorization", f"Bearer {KEYS['edge']}"),)
        self._stream = sync_pb2_grpc.SyncStub(self._channel).Stream(
            iter(self._outbox.get, None), metadata=metadata
        )
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()
        until(lambda: self.welcome is not None, "the hub's welcome")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.cancel()
        self._outbox.put(None)
        self._thread.join(10)
        self._channel.close()

    def _follow(self) -> None:
        try:
            for message in self._stream:
                if message.WhichOneof("message") == "welcome":
                    self.welcome = message.welcome
                elif message.WhichOneof("message") == "bundle":
                    self._take(message.bundle)
        except grpc.RpcError:
            return

    def _take(self, bundle: sync_pb2.Bundle) -> None:
        self.bundles.append(bundle)
        error = self._judge(bundle)
        ack = sync_pb2.BundleAck(revision=bundle.revision, content_hash=bundle.content_hash, error=error)
        self._outbox.put(sync_pb2.EdgeMessage(bundle_ack=ack))


@pytest.fixture
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    with RunningHub(tmp_path_factory.mktemp("hub")) as running:
        running.publish(central(), "ben")
        yield running


@pytest.fixture
def command(
    hub: RunningHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Command:
    monkeypatch.setenv("ONEVOICE_HUB", hub.target)
    monkeypatch.setenv("ONEVOICE_KEY", KEYS["operator"])
    monkeypatch.setenv("ONEVOICE_USER", "ben")
    monkeypatch.chdir(tmp_path)
    return runner(capsys)


def write(folder: Path, text: str) -> str:
    folder.mkdir(exist_ok=True)
    for name, content in changed("blocks.yaml", "value: We care", f"value: {text}", central()).items():
        (folder / name).write_text(content)
    return str(folder)


def accept(bundle: sync_pb2.Bundle) -> str:
    return ""


def test_every_edge_gets_the_signed_bundle_and_its_answer_is_printed(
    hub: RunningHub, command: Command, tmp_path: Path
) -> None:
    with PlayedEdge(hub, "eu", accept) as eu, PlayedEdge(hub, "us", accept) as us:
        until(lambda: len(eu.bundles) == len(us.bundles) == 1, "the active bundle")
        result = command("publish", write(tmp_path / "c", "Hello"), "--wait")
        assert result.code == 0, result
        assert "is active as revision 2 at the hub after " in result.out
        assert "  eu: acknowledged after " in result.out
        assert "  us: acknowledged after " in result.out
        assert result.out.endswith("2 of 2 connected edges serve it\n")
        bundle = eu.bundles[-1]
        assert us.bundles[-1] == bundle
        assert content_hash(bundle.content) == bundle.content_hash
        approvals = [(one.user, one.role, one.at_ms) for one in bundle.approvals]
        assert eu.welcome is not None
        Ed25519PublicKey.from_public_bytes(eu.welcome.signing_key).verify(
            bundle.signature, bundle_signing_bytes(bundle.revision, bundle.content_hash, approvals)
        )
        fleet = command("fleet", "--json").json
        assert [(edge["edge_id"], edge["bundle_revision"]) for edge in fleet["edges"]] == [
            ("eu", 2),
            ("us", 2),
        ]
        back = command("rollback", "--wait", "--json")
        assert back.code == 0
        assert {(edge["edge"], edge["error"]) for edge in back.json["edges"]} == {("eu", ""), ("us", "")}
    until(lambda: not any(e["connected"] for e in command("fleet", "--json").json["edges"]), "the edges' end")
    assert "away, last seen" in command("fleet").out


def test_an_edge_that_refuses_is_named_and_an_old_refusal_is_not_taken_for_a_new_one(
    hub: RunningHub, command: Command, tmp_path: Path
) -> None:
    def judge(bundle: sync_pb2.Bundle) -> str:
        return "content" if bundle.revision == 2 else ""

    with PlayedEdge(hub, "eu", judge) as eu:
        until(lambda: len(eu.bundles) == 1, "the active bundle")
        refused = command("publish", write(tmp_path / "c", "Hello"), "--wait")
        assert refused.code == 1
        assert "eu: refused it after" in refused.out
        assert "0 of 1 connected edges serve it" in refused.out
        assert "refused the last bundle: content" in command("fleet").out
        taken = command("publish", write(tmp_path / "c", "Good day"), "--wait")
        assert taken.code == 0
        assert "1 of 1 connected edges serve it" in taken.out


def test_an_edge_that_does_not_answer_is_waited_for_and_named(
    hub: RunningHub, command: Command, tmp_path: Path
) -> None:
    release = threading.Event()

    def judge(bundle: sync_pb2.Bundle) -> str:
        if bundle.revision > 1:
            release.wait(30)
        return ""

    with PlayedEdge(hub, "eu", judge) as eu:
        until(lambda: len(eu.bundles) == 1, "the active bundle")
        result = command("publish", write(tmp_path / "c", "Hello"), "--wait", "--timeout", "1")
        release.set()
        assert result.code == 1
        assert "no answer in 1 s" in result.out
