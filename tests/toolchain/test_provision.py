"""What is pinned, and that it is enough to start Kafka and Flink on."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import subprocess
from pathlib import Path

import pytest

from bench.errors import HostError
from bench.toolchain import Toolchain, lockfile, provision

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def toolchain() -> Toolchain:
    return provision(progress=False)


def java(toolchain: Toolchain, classpath: tuple[Path, ...], *words: str) -> subprocess.CompletedProcess[str]:
    command = [str(toolchain.java), "-cp", ":".join(map(str, classpath)), *words]
    environment = os.environ | {"FLINK_CONF_DIR": str(toolchain.flink_home / "conf")}
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=environment)


def test_the_locks_name_no_address() -> None:
    """A mirror's or a laptop's address in a lock breaks everybody else's set-up."""
    for lock in (ROOT / "requirements.lock", lockfile.LOCK_FILE):
        assert "://" not in lock.read_text(encoding="utf-8")


def test_the_lock_is_as_the_command_writes_it() -> None:
    """A jar edited by hand would differ from what its roots resolve to."""
    groups = lockfile.read()
    assert lockfile.render(groups) == lockfile.LOCK_FILE.read_text(encoding="utf-8")
    for group in groups.values():
        assert set(group.roots) <= {jar.jar for jar in group.jars}


def test_one_broker_has_one_version() -> None:
    """A foreign bill of materials can drag kafka-clients back a release: the broker starts, and that is measured."""
    versions = {jar.version for jar in lockfile.read()["kafka"].jars if jar.jar.startswith("org.apache.kafka:")}
    assert versions == {"4.3.1"}


def test_the_s3_plugin_is_for_the_flink_that_runs() -> None:
    """Raising apache-flink alone would leave a plugin of the version before."""
    (plugin,) = lockfile.read()["s3"].jars
    assert plugin.version == importlib.metadata.version("apache-flink")


def test_a_damaged_lock_is_the_hosts_trouble_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "jars.lock").write_text('[kafka]\nroots = []\njars = [{ jar = "a:b:1", sha256 = "short" }]\n')
    with pytest.raises(HostError, match=r"jars\.lock cannot be read"):
        lockfile.read(tmp_path / "jars.lock")


def test_an_unknown_group_is_refused() -> None:
    """`only={"s3-proxy"}` that provisions nothing would surface as a missing class, minutes later."""
    with pytest.raises(HostError, match=r"s3-proxy.*s3proxy"):
        provision(progress=False, only={"s3-proxy"})


def test_what_was_not_asked_for_is_not_pretended() -> None:
    """An empty class path would surface as ClassNotFoundException in a log."""
    jmx = provision(progress=False, only={"jmx"})
    assert jmx.jmx_agent.is_file()
    for ask in ("kafka_classpath", "flink_home", "s3proxy_classpath"):
        with pytest.raises(HostError, match="not provisioned"):
            getattr(jmx, ask)


def test_the_flink_home_is_whole_and_leaves_site_packages_alone(toolchain: Toolchain) -> None:
    """Without flink-python or the connector on the cluster's class path jobs fail only when submitted."""
    names = [jar.name for jar in toolchain.flink_classpath]
    for part in ("flink-dist-", "flink-python-", "flink-sql-connector-kafka-", "log4j-slf4j-impl-"):
        assert len([name for name in names if name.startswith(part)]) == 1, part
    assert (toolchain.flink_home / "conf" / "config.yaml").is_file()
    assert len(list((toolchain.flink_plugins_dir / "s3-fs-native").glob("*.jar"))) == 1
    assert all(path.exists() for path in toolchain.flink_home.rglob("*"))
    spec = importlib.util.find_spec("pyflink")
    assert spec is not None
    assert spec.origin is not None
    assert not list((Path(spec.origin).parent / "lib").glob("*kafka*"))


def test_provisioning_again_gives_the_same(toolchain: Toolchain) -> None:
    assert provision(progress=False) == toolchain


def test_a_flink_home_with_a_removed_jar_is_assembled_again(toolchain: Toolchain) -> None:
    """A tidied cache must not turn into a Flink without its connector."""
    victim = next((toolchain.flink_home / "lib").glob("flink-sql-connector-kafka-*.jar"))
    victim.unlink()
    assert provision(progress=False) == toolchain
    assert victim.is_file()


@pytest.mark.platform
def test_kafkas_tools_run_and_its_log_is_seen(toolchain: Toolchain) -> None:
    """Without a binding slf4j discards everything the broker says, also why it died."""
    done = java(toolchain, toolchain.kafka_classpath, "kafka.tools.StorageTool", "random-uuid")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.strip()) == 22
    assert "SLF4J" not in done.stderr


@pytest.mark.platform
def test_flink_runs_on_this_java(toolchain: Toolchain) -> None:
    done = java(toolchain, toolchain.flink_classpath, "org.apache.flink.client.cli.CliFrontend", "--version")
    assert toolchain.versions["flink"] in done.stdout + done.stderr
