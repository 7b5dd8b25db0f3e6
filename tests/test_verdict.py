"""Claims and what runs say about them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ruamel.yaml import YAML

from bench.analysis.intervals import Estimate
from bench.errors import ScenarioError
from bench.metrics import METRICS
from bench.record import Check, Measurement, Outcome, Run
from bench.verdict import Answer, Evidence, Reason, Verdict, judge, load_claims
from bench.verdict.claims import Comparison

ROOT = Path(__file__).parents[1]
CLAIM = load_claims(["over-partitioning-inflates-storage"])[0]


def run(partitions: int, repetition: int, metrics: Mapping[str, Measurement | float], **changes: Any) -> Run:
    made = Run(
        scenario="quickstart",
        trial_id=f"{partitions}-{repetition}",
        load="steady",
        repetition=repetition,
        order=repetition * 2 + (partitions > 6),
        outcome=Outcome.FINISHED,
        reason="",
        knobs={"topic.partitions": partitions},
        settings={
            "producer": {"routing": "keyed", "compression": "lz4", "acks": "all"},
            "topic": {"partitions": partitions},
            "load": {"rate_eps": 50_000.0},
        },
        seed=7,
        backend="local",
        started_utc=f"2026-11-23T18:{repetition:02}:{partitions:02}Z",
        duration_s=40.0,
        environment={"cpu_model": "a", "cores": 2},
        metrics={
            name: value if isinstance(value, Measurement) else Measurement(value, METRICS[name].unit)
            for name, value in metrics.items()
        },
    )
    return replace(made, **changes)


def quickstart(repeats: int = 3, disk: float = 1.25, seed: int = 1, **changes: Any) -> list[Run]:
    """Runs as the first scenario gives them: bytes hardly vary, latencies a lot."""
    rng = np.random.default_rng(seed)
    runs = []
    for repetition in range(repeats):
        for partitions in (6, 96):
            p99 = 23.0 * rng.lognormal(0.1 * (partitions > 6), 0.3)
            metrics: dict[str, Measurement | float] = {
                "log_bytes_per_event": 100.0 * (disk if partitions > 6 else 1.0) * rng.lognormal(0, 0.004),
                "wire_bytes_per_event": 101.0 * (disk if partitions > 6 else 1.0) * rng.lognormal(0, 0.004),
                "batch_records": (12.0 if partitions > 6 else 80.0) * rng.lognormal(0, 0.02),
                "broker_cpu_s_per_million_events": 1.1 * rng.lognormal(0, 0.06),
                "e2e_latency_ms": Measurement(12.0, "ms", {"p50": 12.0, "p99": p99}, 5_000),
            }
            runs.append(run(partitions, repetition, metrics, **changes))
    return runs


def by_name(verdicts: Sequence[Verdict]) -> dict[str, Verdict]:
    return {verdict.hypothesis: verdict for verdict in verdicts}


def test_three_repeats_decide_bytes_and_leave_latency_open() -> None:
    """Prevents a first look from deciding what three runs cannot, and from leaving open what they can."""
    verdicts = judge([CLAIM], quickstart())
    assert verdicts[0].primary and verdicts[0].hypothesis == "disk"
    found = by_name(verdicts)
    assert found["disk"].verdict is Answer.SUPPORTED
    assert found["disk"].estimate == pytest.approx(1.25, rel=0.01)
    assert found["wire"].verdict is found["batches"].verdict is Answer.SUPPORTED
    assert found["latency"].verdict is Answer.INCONCLUSIVE
    assert found["latency"].needs_repeats is not None and found["latency"].needs_repeats > 3
    assert found["latency"].needs_minutes == pytest.approx((found["latency"].needs_repeats - 3) * 2 * 40 / 60)
    assert f"needs {found['latency'].needs_repeats} repeats" in found["latency"].sentence
    assert found["replicated"].verdict is Answer.NOT_TESTABLE_HERE
    assert "three machines" in found["replicated"].sentence


def test_a_verdict_names_what_differs_between_two_arms() -> None:
    """Prevents "mode process instead of process": arms may need several settings to be told apart from a third."""
    disk = CLAIM.primary
    assert isinstance(disk, Comparison)
    arms = {name: {**getattr(disk, name), "producer.acks": "all"} for name in ("base", "changed")}
    found = judge([CLAIM.model_copy(update={"hypotheses": (disk.model_copy(update=arms),)})], quickstart())[0]
    assert found.verdict is Answer.SUPPORTED
    assert "topic.partitions 96 instead of 6 (" in found.sentence and "acks" not in found.sentence


def test_an_interval_that_excludes_the_limit_is_not_said_to_hold_it() -> None:
    """Prevents "-72 % to -44 %, not told apart from -20 %": among several questions more is asked of each."""
    disk = CLAIM.primary
    questions = [disk.model_copy(update={"name": name, "primary": False}) for name in "abcdefgh"]
    others = [one for one in CLAIM.hypotheses if one.name == "latency"]
    claim = CLAIM.model_copy(update={"hypotheses": (*others, *questions)})
    noisy = [replace(one, metrics=one.metrics | {"log_bytes_per_event": Measurement(value, "bytes/event")})
             for one, value in zip(quickstart(), (100, 160, 100, 190, 100, 145), strict=True)]  # fmt: skip
    found = by_name(judge([claim], noisy))["a"]
    assert found.verdict is Answer.INCONCLUSIVE
    assert "by itself, not as one of several questions" in found.sentence


@pytest.mark.parametrize(
    ("ratio", "reason"), [(1.0, Reason.NO_DIFFERENCE), (1.03, Reason.SMALLER), (0.8, Reason.OPPOSITE)]
)
def test_refuted_says_how(ratio: float, reason: Reason) -> None:
    """Prevents "no difference" from being printed for one that is smaller than claimed, or goes the other way."""
    verdict = judge([CLAIM], quickstart(disk=ratio))[0]
    assert (verdict.verdict, verdict.reason) == (Answer.REFUTED, reason)


def test_nothing_is_ever_concluded_from_what_is_missing() -> None:
    """Prevents missing runs, arms, metrics and percentiles from passing, or from ending the report."""
    runs = quickstart()
    without = [replace(r, metrics={n: m for n, m in r.metrics.items() if n != "log_bytes_per_event"}) for r in runs]
    zero = Measurement(0.0, "bytes/event")
    other = {"cpu_model": "b", "cores": 2}
    several = [
        replace(r, knobs={**r.knobs, "cluster.brokers": n}, trial_id=r.trial_id * n) for r in runs for n in (1, 3)
    ]
    cases: dict[str, list[Run]] = {
        "there is no finished run with topic.partitions = 6": [],
        "there is no finished run with topic.partitions = 96": [r for r in runs if r.knobs["topic.partitions"] == 6],
        "log_bytes_per_event is missing in all 3 pairs": without,
        "no repetition finished in both arms": [runs[0], runs[3]],
        "from different environments (cpu_model)": [*runs[:2], *[replace(r, environment=other) for r in runs[2:]]],
        "from different environments (backend)": [runs[0], *[replace(r, backend="compose") for r in runs[1:]]],
        "is not positive": [replace(r, metrics={"log_bytes_per_event": zero}) for r in runs],
        "several cells fit, and the claim does not say which (cluster.brokers)": several,
    }  # fmt: skip
    for sentence, evidence in cases.items():
        verdict = judge([CLAIM], evidence)[0]
        assert verdict.verdict is Answer.INCONCLUSIVE, sentence
        assert sentence in verdict.sentence
        assert verdict.estimate is None


@pytest.mark.parametrize(
    ("metrics", "answer"),
    [
        ({"failovers_missed": 0.0, "failover_s": 11.0}, Answer.SUPPORTED),
        ({"failovers_missed": 0.0, "failover_s": 21.0}, Answer.REFUTED),
        ({"failovers_missed": 1.0}, Answer.REFUTED),
        ({}, Answer.INCONCLUSIVE),
    ],
)
def test_a_failover_that_never_came_speaks_against_one_in_time(metrics: dict[str, float], answer: Answer) -> None:
    """Prevents the worst failover of all from being left out as one that has no time."""
    [claim] = load_claims(["kraft"])
    killed = [run(700, i, metrics, knobs={"topic.partitions": 700, "topic.replication_factor": 3}) for i in range(5)]
    assert by_name(judge([claim], killed))["new-leader"].verdict is answer


def test_only_finished_runs_with_right_outputs_are_evidence_and_the_others_are_counted() -> None:
    """Prevents an invalid, crashed or wrong run from tipping a verdict, or from being forgotten."""
    runs = quickstart()
    bad = {"log_bytes_per_event": 1.0}
    runs += [
        run(96, 3, bad, outcome=Outcome.INVALID),
        run(6, 3, bad, outcome=Outcome.CRASHED),
        run(96, 4, bad, checks=(Check("windows", 10, 9, ok=False),)),
        run(6, 4, bad),
    ]
    verdict = judge([CLAIM], runs)[0]
    assert (verdict.n, verdict.left_out, verdict.verdict) == (3, 3, Answer.SUPPORTED)
    assert "3 runs were left out: 1 crashed, 1 invalid, 1 with wrong outputs" in verdict.sentence


def test_one_pair_is_no_verdict_but_says_what_would_be() -> None:
    """Prevents a quick run from deciding anything."""
    verdict = judge([CLAIM], quickstart(repeats=1))[0]
    assert verdict.verdict is Answer.INCONCLUSIVE
    assert verdict.low is None and verdict.needs_repeats is not None
    assert "single pair" in verdict.sentence


def test_a_trial_done_again_counts_once() -> None:
    """Prevents `--fresh` from doubling the sample."""
    again = [replace(r, started_utc="2026-11-24T00:00:00Z") for r in quickstart(seed=2)]
    assert judge([CLAIM], [*quickstart(), *again]) == judge([CLAIM], again)


def test_runs_of_another_scenario_do_not_mix_in() -> None:
    """Prevents repeats of two different settings from being pooled: the claim's best scenario speaks alone."""
    other = [replace(r, scenario="partition-sizing", trial_id=f"p{r.trial_id}") for r in quickstart(disk=1.0)]
    assert judge([CLAIM], [*quickstart(), *other])[0].reason is Reason.NO_DIFFERENCE


def test_secondary_hypotheses_pay_for_their_number() -> None:
    """Prevents one of four side metrics from being called supported by chance."""
    rng = np.random.default_rng(5)
    side = ("wire_bytes_per_event", "broker_cpu_s_per_million_events")
    false = 0
    for _ in range(300):
        runs = []
        for repetition in range(5):
            for partitions in (6, 96):
                level = {name: rng.lognormal(np.log(1.05) * (partitions > 6), 0.03) for name in side}
                level |= {"batch_records": rng.lognormal(np.log(0.5) * (partitions > 6), 0.03)}
                runs.append(run(partitions, repetition, level))
        found = by_name(judge([CLAIM], runs))
        false += any(found[name].verdict is Answer.SUPPORTED for name in ("wire", "broker-cpu", "batches"))
    assert false / 300 <= 0.05


INGEST = load_claims(["ingest-1m"])[0]


def ingest(passes: int, fails: int, **metrics: float) -> list[Run]:
    good = {"acknowledged_eps": 999_000.0, "lost_events": 0.0, "delivery_errors": 0.0}
    settings = {
        "cluster": {"brokers": 1},
        "producer": {"acks": "all", "routing": "keyed"},
        "workload": {"event_bytes": 100},
        "load": {"rate_eps": 1_000_000.0},
        "phases": {"measure_s": 60.0},
    }
    many = [good | metrics] * passes + [good | {"acknowledged_eps": 900_000.0}] * fails
    return [run(6, i, m, scenario="ingest-1m", settings=settings, knobs={}) for i, m in enumerate(many)]


@pytest.mark.parametrize(
    ("passes", "fails", "answer"),
    [
        (4, 1, Answer.SUPPORTED),
        (4, 0, Answer.SUPPORTED),
        (3, 0, Answer.INCONCLUSIVE),
        (3, 1, Answer.INCONCLUSIVE),
        (3, 2, Answer.REFUTED),
        (0, 2, Answer.REFUTED),
        (7, 3, Answer.REFUTED),
        (8, 2, Answer.SUPPORTED),
        (0, 0, Answer.INCONCLUSIVE),
    ],
)
def test_threshold_takes_four_of_five(passes: int, fails: int, answer: Answer) -> None:
    """Prevents three good runs, or one lucky one, from proving a million events a second."""
    assert judge([INGEST], ingest(passes, fails))[0].verdict is answer


def test_a_threshold_never_passes_on_a_metric_that_is_missing() -> None:
    """Prevents "0 lost" from being read into runs that never counted."""
    runs = [replace(r, metrics={n: m for n, m in r.metrics.items() if n != "lost_events"}) for r in ingest(5, 0)]
    verdict = judge([INGEST], runs)[0]
    assert (verdict.verdict, verdict.reason) == (Answer.INCONCLUSIVE, Reason.MISSING)
    mixed = judge([INGEST], [*runs[:3], *ingest(5, 0)[3:]])[0]
    assert (mixed.verdict, mixed.n) == (Answer.INCONCLUSIVE, 2)
    assert "3 could not be judged" in mixed.sentence


def test_a_smaller_event_or_a_shorter_run_is_not_the_claim() -> None:
    """Prevents 50-byte events or a ten-second burst from counting."""
    short = [replace(r, settings={**r.settings, "phases": {"measure_s": 10.0}}) for r in ingest(5, 0)]
    assert judge([INGEST], short)[0].verdict is Answer.INCONCLUSIVE


def claim_file(tmp_path: Path, hypothesis: str) -> Path:
    (tmp_path / "folk.yaml").write_text(
        "schema: 1\nclaim: folk\nsentence: It always holds.\nmeaning: It does.\ndecided_by: [quickstart]\n"
        f"hypotheses:\n  - {{name: a, primary: true, says: It holds., {hypothesis}}}\n"
    )
    return tmp_path


def test_a_universal_claim_falls_to_a_reproduced_counter_example(tmp_path: Path) -> None:
    """Prevents one odd run from refuting "always", and two from not refuting it."""
    claims = load_claims(claim_file(tmp_path, "kind: universal, holds: [late_events value == 0]"))

    def answer(*late: float) -> tuple[Answer, Reason]:
        verdict = judge(claims, [run(6, i, {"late_events": n}) for i, n in enumerate(late)])[0]
        return verdict.verdict, verdict.reason

    assert answer(0, 0, 0, 0, 0) == (Answer.SUPPORTED, Reason.NONE)
    assert answer(0, 0, 0) == (Answer.INCONCLUSIVE, Reason.TOO_FEW)
    assert answer(*[0] * 20, 1) == (Answer.INCONCLUSIVE, Reason.TOO_FEW)
    assert answer(*[0] * 20, 1, 1) == (Answer.REFUTED, Reason.COUNTER_EXAMPLE)


def test_what_vanishes_is_said_so_within_limits(tmp_path: Path) -> None:
    """Prevents a control's "it vanishes" from being told as a refuted opposite, or from noise."""
    arms = "base: {topic.partitions: 6}, changed: {topic.partitions: 96}"
    claims = load_claims(
        claim_file(tmp_path, f"kind: comparison, metric: log_bytes_per_event, {arms}, direction: stays")
    )
    same, more = (judge(claims, quickstart(disk=ratio))[0] for ratio in (1.001, 1.3))
    assert (same.verdict, more.verdict, more.reason) == (Answer.SUPPORTED, Answer.REFUTED, Reason.LARGER)
    assert "within the 5 % either way claimed" in same.sentence and "90 % interval" in same.sentence
    assert "more than the 5 % either way claimed" in more.sentence and "95 % interval" in more.sentence
    one = judge(claims, quickstart(repeats=1))[0]
    assert one.verdict is Answer.INCONCLUSIVE and one.needs_repeats is not None


@pytest.mark.parametrize(
    ("p", "answer"), [(0.97, Answer.SUPPORTED), (0.5, Answer.INCONCLUSIVE), (0.02, Answer.REFUTED)]
)
def test_cost_claims_are_probabilities_over_draws(tmp_path: Path, p: float, answer: Answer) -> None:
    """Prevents a bill's mean from deciding, and a missing bill from meaning anything."""
    claims = load_claims(claim_file(tmp_path, "kind: cost, probability: serverless_cheaper"))
    drawn = Estimate("serverless_cheaper", p, None, None, 10_000, kind="probability")
    assert judge(claims, Evidence(estimates={"serverless_cheaper": drawn}))[0].verdict is answer
    as_mean = {"serverless_cheaper": replace(drawn, kind="mean")}
    assert judge(claims, Evidence(estimates=as_mean))[0].reason is Reason.MISSING
    assert judge(claims, Evidence())[0].reason is Reason.MISSING


def test_what_waits_to_be_built_is_never_judged(tmp_path: Path) -> None:
    """Prevents a plan from looking like a finding, whatever else ran, and a gap from hiding why it is one."""
    planned = "kind: planned, contradicted_by: a loss, waits_for: a second broker"
    verdict = judge(load_claims(claim_file(tmp_path, planned)), quickstart())[0]
    assert (verdict.verdict, verdict.reason, verdict.n) == (Answer.INCONCLUSIVE, Reason.NOT_BUILT, 0)
    assert verdict.sentence == "Not yet run: it waits for a second broker."
    waits = load_claims(claim_file(tmp_path, "kind: universal, holds: [recovery_s value < 9], waits_for: faults"))
    assert "it waits for faults" in judge(waits, [])[0].sentence
    held = judge(waits, [run(6, i, {"recovery_s": 3.0}) for i in range(5)])[0]
    assert held.verdict is Answer.SUPPORTED and "waits" not in held.sentence


AB = "base: {a: 1}, changed: {a: 2}, direction: increases"


@pytest.mark.parametrize(
    ("hypothesis", "message"),
    [
        ("kind: comparison, metrc: drain_eps", r"folk.yaml:7: hypotheses.0.metrc: unknown key.*did you mean 'metric'"),
        (f"kind: comparison, metric: disk_bytes, {AB}", "unknown metric 'disk_bytes'"),
        (f"kind: comparison, metric: busy_share, {AB}", "has no smallest effect"),
        (f"kind: comparison, metric: drain_eps, stat: p99, {AB}", "has no p99"),
        (f"kind: comparison, metric: drain_eps, {AB.replace('a: 2', 'b: 2')}", "the same settings"),
        (f"kind: comparison, metric: drain_eps, {AB.replace('increases', 'up')}", "direction: was 'up'"),
        ("kind: threshold, holds: [lost_events == 0]", "is no threshold"),
        ("kind: threshold, holds: [lost_events p99 == 0]", "lost_events has no p99"),
        ("kind: maybe", "kind was 'maybe', expected one of comparison"),
        ("kind: cost, probability: x, needs: [s3]", "expected instead"),
        ("kind: threshold", "holds: is missing"),
        ("kind: planned, contradicted_by: x", "waits_for: is missing"),
    ],
)
def test_a_claim_that_cannot_be_judged_is_refused_with_its_line(tmp_path: Path, hypothesis: str, message: str) -> None:
    """Prevents a typo in a claim from silently testing something else."""
    with pytest.raises(ScenarioError, match=message):
        load_claims(claim_file(tmp_path, hypothesis))


def test_exactly_one_hypothesis_decides(tmp_path: Path) -> None:
    """Prevents the best of several results from being chosen afterwards."""
    folder = claim_file(
        tmp_path, "kind: cost, probability: x}\n  - {name: b, primary: true, says: b, kind: cost, probability: y"
    )
    with pytest.raises(ScenarioError, match="2 are primary, expected exactly one"):
        load_claims(folder)
    with pytest.raises(
        ScenarioError, match=r"no claim 'start-with-6-partition'.*did you mean 'start-with-6-partitions'"
    ):
        load_claims(["start-with-6-partition"])


def test_every_claim_reads_and_prints_its_sentence_verbatim() -> None:
    """Prevents the claim book from paraphrasing what it judges; and a verdict from not fitting the JSON."""
    claims = load_claims()
    assert {"over-partitioning-inflates-storage", "start-with-6-partitions", "ingest-1m"} <= {c.claim for c in claims}
    for verdict in judge(claims, []):
        written = YAML(typ="safe").load(ROOT / "scenarios" / "claims" / f"{verdict.claim}.yaml")
        assert verdict.quoted == written["sentence"]
        assert json.loads(json.dumps(verdict.to_json()))["verdict"] in set(Answer)
