"""The object store beside a cluster: it counts what S3 would bill, and takes as long as it was told to take."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import boto3
import pytest
from botocore.config import Config

from bench.backends import BUCKET
from bench.backends.local import free_ports
from bench.backends.meter import Door, Pace, operation
from bench.backends.objectstore import ObjectStore
from bench.backends.subtree import Subtree
from bench.errors import JobError

ROOT = Path(__file__).resolve().parents[2]

OPERATIONS = [
    ("PUT", "/b/k/1", {}, "PutObject"),
    ("PUT", "/b/k/1", {"X-Amz-Copy-Source": "/b/other"}, "CopyObject"),
    ("PUT", "/b/k?partNumber=2&uploadId=u", {}, "UploadPart"),
    ("POST", "/b/k?uploads", {}, "CreateMultipartUpload"),
    ("POST", "/b/k?uploadId=u", {}, "CompleteMultipartUpload"),
    ("DELETE", "/b/k?uploadId=u", {}, "AbortMultipartUpload"),
    ("GET", "/b/?list-type=2&prefix=k%2F", {}, "ListObjects"),
    ("GET", "/b", {}, "ListObjects"),
    ("GET", "/b/k", {}, "GetObject"),
    ("HEAD", "/b/k", {}, "HeadObject"),
    ("HEAD", "/b", {}, "HeadBucket"),
    ("DELETE", "/b/k", {}, "DeleteObject"),
    ("POST", "/b?delete", {}, "DeleteObjects"),
    ("PUT", "/b", {}, "CreateBucket"),
]


@pytest.mark.parametrize(("method", "target", "headers", "found"), OPERATIONS)
def test_a_request_is_counted_as_what_s3_bills(method: str, target: str, headers: dict[str, str], found: str) -> None:
    """A listing taken for a read costs a tenth of what it does."""
    assert operation(method, target, headers) == found


def test_bytes_share_one_link_and_latency_does_not_add_up() -> None:
    """Two uploads at once: each waits its own latency, the second also for the bytes of the first."""
    pace = Pace()
    assert pace.due_s(10.0, 10**9) == 10.0  # nothing was told: at once
    pace.set(30.0, 100.0)
    assert pace.due_s(10.0, 10_000_000) == pytest.approx(10.13)
    assert pace.due_s(10.0, 10_000_000) == pytest.approx(10.23)
    assert pace.due_s(20.0, 0) == pytest.approx(20.03)  # the link is free again
    pace.set(5.0, None)
    assert pace.due_s(20.0, 10**9) == pytest.approx(20.005)


class _Behind(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("X-Seen", f"{len(body)} {self.headers['Authorization']}")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_HEAD(self) -> None:
        self.send_response(404 if self.path.endswith("none") else 200)
        self.send_header("Content-Length", "4711")
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def door() -> Iterator[Door]:
    """A door on this machine with a server behind it that tells what came."""
    behind = ThreadingHTTPServer(("127.0.0.1", 0), _Behind)
    found = Door(0, behind.server_port)
    for server in (behind, found):
        threading.Thread(target=server.serve_forever, daemon=True).start()
    yield found
    for server in (found, behind):
        server.shutdown()
        server.server_close()


def test_the_door_passes_on_what_came_and_takes_as_long_as_told(door: Door) -> None:
    """A signature or a length that got lost on the way is an error of the store; a latency that did not come, of us."""
    door.pace.set(40.0, None)
    client = http.client.HTTPConnection("127.0.0.1", door.server_port)
    began = time.perf_counter()
    client.request("PUT", "/b/k", body=b"x" * 1000, headers={"Authorization": "signed", "Expect": "100-continue"})
    answer = client.getresponse()
    answer.read()
    took_ms = (time.perf_counter() - began) * 1e3
    assert (answer.status, answer.headers["X-Seen"]) == (200, "1000 signed")
    assert 40 <= took_ms < 400
    client.request("PUT", "/b/k", body=iter([b"ab", b"cde"]), headers={"Authorization": "s"}, encode_chunked=True)
    assert client.getresponse().headers["X-Seen"] == "5 s"
    client.close()
    client.request("HEAD", "/b/none")
    head = client.getresponse()
    assert (head.status, head.headers["Content-Length"]) == (404, "4711")
    client.close()
    while len(door.requests) < 3:
        time.sleep(0.01)
    assert [(one.operation, one.status, one.in_bytes) for one in door.requests] == [
        ("PutObject", 200, 1000), ("PutObject", 200, 5), ("HeadObject", 404, 0)
    ]  # fmt: skip
    assert all(one.due_ms == pytest.approx(40) and one.took_ms >= 40 for one in door.requests)


def test_a_client_that_asks_whether_to_go_on_is_told_at_once(door: Door) -> None:
    """S3's Java client holds each upload back until then, for up to three seconds: every checkpoint took six."""
    with socket.create_connection(("127.0.0.1", door.server_port), timeout=10) as connection:
        connection.sendall(b"PUT /b/k HTTP/1.1\r\nHost: s3\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 100 Continue\r\n")
        connection.sendall(b"body")
        assert connection.recv(100).startswith(b"HTTP/1.1 200")


def test_a_connection_that_the_store_has_closed_meanwhile_is_no_failure(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """s3proxy closes what is idle for 30 s: with a checkpoint a minute every call would begin with a 502 of ours."""
    monkeypatch.setattr(_Behind, "timeout", 0.05)
    client = http.client.HTTPConnection("127.0.0.1", door.server_port)
    for _ in range(2):
        client.request("PUT", "/b/k", body=b"x", headers={"Authorization": "s"})
        answer = client.getresponse()
        answer.read()
        assert answer.status == 200
        time.sleep(0.3)
    client.close()


def test_a_client_that_is_slow_to_hand_its_body_over_makes_no_slow_store(door: Door) -> None:
    """Flink on busy cores took 20 ms to send what the store answered 30 ms later: its run was invalid for that."""
    with socket.create_connection(("127.0.0.1", door.server_port), timeout=10) as connection:
        connection.sendall(b"PUT /b/k HTTP/1.1\r\nHost: s3\r\nAuthorization: s\r\nContent-Length: 4\r\n\r\nbo")
        time.sleep(2.0)
        connection.sendall(b"dy")
        assert connection.recv(100).startswith(b"HTTP/1.1 200")
    while not door.requests:
        time.sleep(0.01)
    assert door.requests[0].took_ms < 2000


def test_a_store_that_is_gone_is_an_answer_too(door: Door) -> None:
    """A client that waited for ever would hold a checkpoint up until its timeout."""
    door.upstream_port = free_ports(1)[0]
    client = http.client.HTTPConnection("127.0.0.1", door.server_port)
    client.request("PUT", "/b/k", body=b"x")
    assert client.getresponse().status == 502
    client.close()


@pytest.mark.platform
@pytest.mark.timeout(120)
def test_a_real_s3_client_finds_its_objects_and_every_request_counted(tmp_path: Path) -> None:
    """The server is another's: what it makes of signed, chunked and multipart requests shows only with both of them."""
    with Subtree() as subtree:
        store = ObjectStore(tmp_path / "store", *free_ports(2), subtree, tmp_path)
        assert store.pids == []
        store.start(ROOT)
        store.start(ROOT)  # whoever comes second finds it there
        assert len(store.pids) == 2
        store.pace(50.0, None)
        since_ns = time.time_ns()
        client = boto3.client(
            "s3", endpoint_url=store.url, aws_access_key_id="a", aws_secret_access_key="b", region_name="us-east-1",
            config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}),
        )  # fmt: skip
        client.put_object(Bucket=BUCKET, Key="one/a", Body=b"x" * 200_000)
        assert client.get_object(Bucket=BUCKET, Key="one/a")["Body"].read() == b"x" * 200_000
        upload = client.create_multipart_upload(Bucket=BUCKET, Key="one/b")["UploadId"]
        part = client.upload_part(Bucket=BUCKET, Key="one/b", UploadId=upload, PartNumber=1, Body=b"y" * 5_300_000)
        parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
        client.complete_multipart_upload(Bucket=BUCKET, Key="one/b", UploadId=upload, MultipartUpload=parts)
        assert [one["Size"] for one in client.list_objects_v2(Bucket=BUCKET)["Contents"]] == [200_000, 5_300_000]
        client.delete_object(Bucket=BUCKET, Key="one/a")
        told = store.requests(since_ns)
        assert told["operation"].tolist() == [
            "PutObject", "GetObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload", "ListObjects",
            "DeleteObject",
        ]  # fmt: skip
        assert told["in_bytes"].sum() > 5_500_000
        since_ns = time.time_ns()
        for _ in range(20):
            client.head_object(Bucket=BUCKET, Key="one/b")
        took_ms = store.requests(since_ns)["took_ms"]
        assert 0.8 < took_ms.median() / 50 < 1.2
        assert store.requests(time.time_ns()).empty
    with pytest.raises(JobError, match="the object store's store"):
        store.check()
