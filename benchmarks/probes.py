# noqa: INP001  # scripts, not a package
"""What watching a run costs: CPU-seconds a second of every component and of this process, with the probes and without.

    python benchmarks/probes.py [--pairs 8] [--seconds 15] [--rate 50000] [--quiet 2000] [--times 5] [--out FILE]

One broker, one Flink, one job. First what everything uses at --rate, unwatched. Then the same job at --quiet: stretches
with the probes and stretches without take turns in mirrored pairs (on off off on). What the probes cost is the mean
difference over all components, with its 95 % interval over pairs: what brokers and JobManager take to answer is in it.
The questions are the same at either rate, and so is answering them; but of half a core that a load of 50,000 events/s
takes, a stretch varies by more than all the probes cost, of a load of 2,000 by much less. They also ask --times as
often as in a trial of a steady load, and the difference is divided by that: each round asks for the same again, and
Flink fetches its metrics anew for each (not beyond five times: `--times 1` asks as a trial does). `--quiet 50000` has
both at one rate, and an interval several times as wide.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from bench import topics  # noqa: E402
from bench.analysis.intervals import mean_interval  # noqa: E402
from bench.backends import ClusterSpec  # noqa: E402
from bench.backends.accounting import Ledger  # noqa: E402
from bench.backends.local import LocalCluster, open_local  # noqa: E402
from bench.jobs import job_params, outputs_of  # noqa: E402
from bench.jobs.session import JobSession  # noqa: E402
from bench.loadgen import start  # noqa: E402
from bench.probes import STEADY_INTERVAL_S, Probe, watch  # noqa: E402
from bench.probes.components import components, host  # noqa: E402
from bench.probes.flink import job_probe  # noqa: E402
from bench.probes.kafka import jmx  # noqa: E402
from bench.scenario import Trial, load  # noqa: E402

WARMUP_S = 20.0
LOADED = 4  # stretches at the full rate: their mean is what the share is of


def a_trial(folder: Path, rate: float) -> Trial:
    """The main job at a steady rate."""
    document = {
        "schema": 1, "name": "probes", "workload": {"name": "clicks"}, "load": {"rate_eps": rate},
        "topic": {"partitions": 6}, "pipeline": {"job": "revenue", "parallelism": 2},
    }  # fmt: skip
    path = folder / "probes.yaml"
    YAML().dump(document, path)
    return load(path).trials(backend="local", workload_version=1, measurement_version=1, host_class="")[0]


def used_s(cluster: LocalCluster, jobmanager: Ledger) -> dict[str, float]:
    """CPU-seconds so far, by component; the JobManager is a part of Flink."""
    assert cluster.flink is not None
    assert cluster.flink.jobmanager is not None
    found = {name: one.cpu_s for name, one in cluster.account().items()}
    found["of which jobmanager"] = jobmanager.account([cluster.flink.jobmanager.pid]).cpu_s
    return found | {"harness": time.process_time()}


def stretch(cluster: LocalCluster, probes: list[Probe], seconds: float, *, interval_s: float) -> dict[str, float]:
    """CPU-seconds a second of each component over a while, asked every `interval_s`; 0: not at all."""
    jobmanager, began = Ledger(), time.monotonic()
    before = used_s(cluster, jobmanager)
    with watch(probes, interval_s=interval_s) if interval_s else nullcontext():
        time.sleep(seconds)
    after, took_s = used_s(cluster, jobmanager), time.monotonic() - began
    return {name: (after[name] - before[name]) / took_s for name in before}


def main() -> None:
    """Measure, print, and keep where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--rate", type=float, default=50_000.0)  # the quickstart's
    parser.add_argument("--quiet", type=float, default=2_000.0)
    parser.add_argument("--times", type=int, default=5, choices=range(1, 6))
    parser.add_argument("--out", type=Path)
    told = parser.parse_args()
    often_s = STEADY_INTERVAL_S / told.times
    order = [on for pair in range(told.pairs) for on in ((True, False) if pair % 2 == 0 else (False, True))]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        trial = a_trial(folder, told.rate)
        spec = ClusterSpec(task_managers=1, slots=2)
        with open_local(spec, run_dir=folder / "run", log_dir=folder / "logs") as cluster:
            session = JobSession(cluster, folder / "logs" / "job-client.log")
            names = topics.fresh(trial, outputs_of(trial.settings))
            topics.create_all(names, trial.settings, cluster.bootstrap)
            params = job_params(trial.settings, cluster.bootstrap, names.run, names.input, names.outputs)
            job_id = session.submit("revenue", params)
            url = cluster.flink_url
            probes = [components(cluster), host(), jmx(cluster.jmx_urls, names.input), job_probe(url, job_id)]

            def under(rate: float, asked: list[bool]) -> list[dict[str, float]]:
                drive = start(
                    a_trial(folder, rate).settings.model_dump(mode="json"), bootstrap=cluster.bootstrap,
                    topic=names.input, partitions=6, seed=trial.seed, warmup_s=WARMUP_S,
                    duration_s=WARMUP_S + len(asked) * (told.seconds + 1) + 10,
                    run_dir=folder / f"load-{rate:.0f}-{len(asked)}", spawn=cluster.spawn,
                )  # fmt: skip
                # whoever answers has a compiler of its own
                stretch(cluster, probes, WARMUP_S, interval_s=often_s)
                used = [stretch(cluster, probes, told.seconds, interval_s=often_s if on else 0.0) for on in asked]
                drive.stop()
                return used

            loaded = under(told.rate, [False] * LOADED)
            found = list(zip(order, under(told.quiet, order), strict=True))
            session.close()
    report(loaded, found, told.times, told.out)


Used = dict[str, float]  # component -> CPU-seconds a second


def report(loaded: list[Used], found: list[tuple[bool, Used]], times: int, out: Path | None) -> None:
    """A line a component, then all together: the probes' share of what everything used, at a trial's pace."""
    watched, alone = ([used for on, used in found if on is wanted] for wanted in (True, False))
    print(f"{'CPU-seconds a second':24} {'loaded':>9} {'quiet':>9} {'of the probes, 95 % interval':>32}")
    for name in found[0][1]:
        pairs = [(a[name] - b[name]) / times for a, b in zip(watched, alone, strict=True)]
        mean, low, high = mean_interval(pairs)
        at_rate, at_rest = (sum(used[name] for used in some) / len(some) for some in (loaded, alone))
        interval = "" if low is None or high is None else f"{low:+.4f} to {high:+.4f}"
        print(f"{name:24} {at_rate:9.4f} {at_rest:9.4f} {mean:+10.4f} {interval:>21}")

    def whole(used: Used) -> float:
        return sum(s for name, s in used.items() if not name.startswith("of which"))

    base = sum(map(whole, loaded)) / len(loaded)
    costs = [(whole(a) - whole(b)) / times for a, b in zip(watched, alone, strict=True)]
    shares = [cost / (base + cost) for cost in costs]
    mean, low, high = mean_interval(shares)
    interval = "" if low is None or high is None else f" ({low:.1%} to {high:.1%})"
    print(f"the probes are {mean:.1%}{interval} of what brokers, Flink and the harness used together")
    if out is not None:
        document = {"loaded": loaded, "quiet": [{"watched": on, **used} for on, used in found]}
        out.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
