"""Java without a JDK: a class of a job, compiled by Eclipse's compiler on the runtime that is here.

Once for each source text: the jar stays in the cache beside the toolchain.
"""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
import zipfile
from pathlib import Path

from bench.errors import HostError
from bench.toolchain.assembly import FIRST_SETUP, provision
from bench.toolchain.store import cache_folder

RELEASE = "17"  # what Flink's own classes are compiled for runs on every Java that runs Flink
TIMEOUT_S = 120.0  # 2 s on an idle host


def compiled(name: str, source: str) -> Path:
    """The jar of one public class `name`, compiled against Flink. HostError with the compiler's own words."""
    tools = provision(only={*FIRST_SETUP, "ecj"})
    text = f"{tools.versions['ecj']} {tools.versions['flink']} {RELEASE}\n{source}"
    jar = cache_folder() / "java" / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}.jar"
    if jar.is_file():
        return jar
    jar.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="draft-", dir=jar.parent) as draft:
        classes, file = Path(draft, "classes"), Path(draft, f"{name}.java")
        file.write_text(source, encoding="utf-8")
        class_path = ":".join(str(one) for one in tools.flink_classpath)
        words = ["-source", RELEASE, "-target", RELEASE, "-nowarn", "-cp", class_path, "-d", str(classes), str(file)]
        main = ["-cp", str(tools.group("ecj")[0]), "org.eclipse.jdt.internal.compiler.batch.Main"]
        done = subprocess.run([str(tools.java), *main, *words], capture_output=True, text=True, timeout=TIMEOUT_S,
                              check=False)  # fmt: skip
        if done.returncode != 0:
            raise HostError(f"{name}.java does not compile: {done.stderr.strip() or done.stdout.strip()}")
        finished = Path(draft, jar.name)
        with zipfile.ZipFile(finished, "w") as archive:
            for one in sorted(classes.rglob("*.class")):
                archive.write(one, one.relative_to(classes))
        finished.replace(jar)  # whole or not at all: another process may want it too
    return jar
