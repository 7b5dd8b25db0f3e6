"""Secrets stay in the keyring: who needs them gets them, and nothing that is written down has them."""

from __future__ import annotations

import os
from pathlib import Path

import certifi
import pytest
from confluent_kafka import Producer

from bench import keyring
from bench.errors import HostError, ScenarioError
from bench.jobs import JobParams, connector

WHERE = "kafka.example:9093"
PASSWORD = 'it\'s "quoted" \\ here'


@pytest.fixture(autouse=True)
def empty(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_ring", "_elsewhere", "_told"):
        monkeypatch.setattr(keyring, name, {})


def kept(tmp_path: Path, **more: str) -> None:
    (tmp_path / "ca.pem").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    keyring.keep(
        WHERE,
        {
            "security.protocol": "SASL_SSL", "sasl.mechanism": "SCRAM-SHA-512", "sasl.username": "app",
            "sasl.password": PASSWORD, "ssl.ca.location": str(tmp_path / "ca.pem"), **more,
        },
    )  # fmt: skip


def test_brokers_nobody_told_of_are_reached_in_plain_text(tmp_path: Path) -> None:
    kept(tmp_path)
    assert keyring.client("localhost:9092") == {"bootstrap.servers": "localhost:9092"}
    assert keyring.java("localhost:9092") == {}
    assert keyring.client(WHERE)["sasl.password"] == PASSWORD


def test_what_the_environment_says_goes_before_the_file_and_is_inherited_by_no_child(tmp_path: Path) -> None:
    file = tmp_path / "client.properties"
    file.write_text("sasl.username=app\nsasl.password=of the file\n")
    environment = {"STREAMGAUGE_KAFKA_PASSWORD": "of the environment", "PATH": "/bin"}
    keyring.take(environment)
    assert environment == {"PATH": "/bin"}
    assert keyring.settings(file) == {"sasl.username": "app", "sasl.password": "of the environment"}


def test_a_java_setting_in_the_file_is_named_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "client.properties"
    file.write_text("# comment\nsasl.jaas.config=secret-in-here\n")
    with pytest.raises(ScenarioError, match=r"client\.properties:2: .*sasl\.username") as told:
        keyring.read(file)
    assert "secret-in-here" not in str(told.value)


def test_a_child_is_entrusted_with_them_and_takes_them_out_of_its_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept(tmp_path)
    seen: dict[str, str] = {}
    keyring.entrusted(lambda argv, log, env: seen.update(env), WHERE)([], tmp_path / "log")
    assert keyring.entrusted(print, "localhost:9092") is print
    monkeypatch.setattr(keyring, "_ring", {})
    for name, value in seen.items():
        monkeypatch.setenv(name, value)
    keyring.inherit()
    assert keyring.client(WHERE)["sasl.password"] == PASSWORD
    assert set(seen) & set(os.environ) == set()


def test_a_worker_on_another_machine_is_told_by_its_own_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "c").write_text("security.protocol=SSL\n")
    monkeypatch.setenv(keyring.CONFIG, str(tmp_path / "c"))
    monkeypatch.delenv(keyring.ENTRUSTED, raising=False)
    keyring.inherit()
    assert keyring.client("anywhere:9092") == {"bootstrap.servers": "anywhere:9092", "security.protocol": "SSL"}


def test_a_worker_on_another_machine_needs_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pod has a Secret's values in its environment, and nothing else of ours."""
    monkeypatch.delenv(keyring.CONFIG, raising=False)
    keyring.inherit()
    assert keyring.security("anywhere:9092") == {}
    for name, value in ((keyring.USERNAME, "load"), (keyring.AUTHORITY, certifi.where())):
        monkeypatch.setenv(name, value)
    with pytest.raises(HostError, match="STREAMGAUGE_KAFKA_PASSWORD is not"):
        keyring.inherit()
    monkeypatch.setenv(keyring.PASSWORD, "x")
    keyring.inherit()
    assert keyring.security("anywhere:9092") == {
        "security.protocol": "SASL_SSL", "sasl.mechanism": "SCRAM-SHA-512", "sasl.username": "load",
        "sasl.password": "x", "ssl.ca.location": certifi.where(),
    }  # fmt: skip
    assert keyring.PASSWORD not in os.environ
    Producer(keyring.client("127.0.0.1:1"))  # refuses a property, a mechanism or a file that it does not know


def test_jobs_get_javas_words_and_the_authority_as_text(tmp_path: Path) -> None:
    kept(tmp_path)
    assert keyring.java(WHERE) == {
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.jaas.config": 'org.apache.kafka.common.security.scram.ScramLoginModule required username="app" '
        'password="it\'s \\"quoted\\" \\\\ here";',
        "ssl.truststore.type": "PEM",
        "ssl.truststore.certificates": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
    }
    shaded = keyring.java(WHERE, keyring.SHADED)["sasl.jaas.config"]
    assert shaded.startswith("org.apache.flink.kafka.shaded.org.apache.kafka.common.security.scram.ScramLoginModule ")


def test_what_is_said_for_jobs_goes_as_it_is_so_that_no_secret_has_to(tmp_path: Path) -> None:
    reference = "${file:/run/secrets/kafka.properties:jaas}"
    kept(
        tmp_path,
        **{
            "flink.sasl.jaas.config": reference, "flink.ssl.truststore.location": "/etc/ca.p12",
            "flink.bootstrap.servers": "inside:9093",
        },
    )  # fmt: skip
    found = keyring.java(WHERE)
    assert found["sasl.jaas.config"] == reference
    assert found["ssl.truststore.location"] == "/etc/ca.p12"
    assert not any(PASSWORD in value or "truststore.certificates" in key for key, value in found.items())
    assert keyring.inside(WHERE) == "inside:9093"
    assert not any(key.startswith("flink.") for key in keyring.client(WHERE))


def test_a_quote_in_a_password_does_not_end_the_statement_it_is_in(tmp_path: Path) -> None:
    kept(tmp_path)
    params = JobParams(WHERE, "in", {}, (), "json", 0, 1, "at-least-once", "run", client=keyring.java(WHERE))
    said = connector("in", params)
    assert "it''s" in said
    assert said.replace("''", "").count("'") % 2 == 0


def test_a_client_quotes_no_secret(tmp_path: Path) -> None:
    kept(tmp_path)
    client = keyring.java(WHERE)
    told = keyring.hidden(f"ValidationException: {client['sasl.jaas.config']}".encode(), client)
    assert told == b"ValidationException: [hidden]"


def test_a_mechanism_that_cannot_be_translated_is_said(tmp_path: Path) -> None:
    kept(tmp_path, **{"sasl.mechanism": "GSSAPI"})
    with pytest.raises(ScenarioError, match="GSSAPI: expected PLAIN"):
        keyring.java(WHERE)


def test_a_log_that_would_quote_a_secret_is_kept_without_it(tmp_path: Path) -> None:
    kept(tmp_path)
    assert keyring.hidden(f"login app {PASSWORD} failed".encode()) == b"login app [hidden] failed"
    assert keyring.hidden(b"SASL_SSL for app") == b"SASL_SSL for app"
