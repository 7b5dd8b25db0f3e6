"""`advise partitions` and `validate partitions` as they are typed, as a script reads them, and on bad input."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from syrupy.assertion import SnapshotAssertion

import bench.cli.advising
import bench.cli.money
import bench.cli.validating
from bench.cli import cli
from bench.errors import ScenarioError
from costmodel.advice import Need, advise
from costmodel.ladder import Ladder
from costmodel.prices import built_in
from reports.advising import sizing
from tests.simulated.ladder import Broker, recorded

ROOT = Path(__file__).parent.parent
QUICKSTART = str(ROOT / "studies" / "quickstart")
ASKED = ["advise", "partitions", "--target-mbps", "40", "--record-bytes", "200", "--consumers", "12", "--growth", "2"]
WITHIN = ["--results", QUICKSTART, "--target-mbps", "20"]  # of ten times what its runs carried


def said(*words: str) -> str:
    found = CliRunner().invoke(cli, [*ASKED, *words], catch_exceptions=False)
    assert found.exit_code == 0
    return found.stdout


@pytest.fixture
def ladder(monkeypatch: pytest.MonkeyPatch) -> Ladder:
    """A broker whose limits are known answers: recorded studies are measured anew from time to time."""
    known = recorded(Broker(partition_mb_s=5.05, per_partition_ms=0.3), [1, 2, 6, 24, 96, 384, 2000], (4.0, 40.0))
    for command in (bench.cli.advising, bench.cli.validating):
        monkeypatch.setattr(command, "evidence", lambda *_: known)
    return known


@pytest.mark.usefixtures("ladder")
def test_the_answer_as_it_is_printed(snapshot: SnapshotAssertion) -> None:
    """The verdict first, bounds with their runs, what 6 would do, dollars, what is assumed, the runs last."""
    assert said("--platform", "self-ec2", "--platform", "msk-serverless") == snapshot


def test_the_machine_readable_answer_has_its_stable_names() -> None:
    """Scripts read these; all numbers that rest on runs name runs that exist."""
    document = json.loads(said(*WITHIN, "--json", "--platform", "msk-serverless"))
    assert {"partitions", "low", "high", "extrapolated_by", "bounds", "usd_month", "because", "runs"} <= set(document)
    assert set(document["bounds"]) == {"throughput", "consumers", "growth"}
    assert set(document["usd_month"]["msk-serverless"]) >= {"p", "2p", "10p", "six"}
    for run in document["runs"]:
        assert (ROOT / "studies" / run / "run.json").exists()


def test_the_documents_example_is_answered_as_they_say() -> None:
    """It was refused, twelve times beyond the runs that it is reckoned from, while the page went on with its number."""
    page = (ROOT / "docs" / "advise.md").read_text(encoding="utf-8")
    words = re.findall(r"^streamgauge (advise partitions .*)$", page, re.MULTILINE)[0].split()
    promised = re.findall(r"The first line is the answer: \*(.+?) …\*", page)[0]
    words[words.index("--results") + 1] = QUICKSTART
    found = CliRunner().invoke(cli, [*words, "--platform", "msk-serverless"], catch_exceptions=False)
    assert found.stdout.startswith(promised)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--results", QUICKSTART, "--target-mbps", "4000"], r"times the .* MB/s that met the limit"),
        (["--results", QUICKSTART, "--where", "producer.ruting=keyed"], r"did you mean producer.routing\?"),
        (["--results", QUICKSTART, "--where", "producer.routing=sticky"], r"streamgauge run partition-sizing"),
        (
            ["--results", QUICKSTART, "--where", "producer.routing"],
            r"--where producer.routing: .*producer.routing=sticky",
        ),
        ([*WITHIN, "--set", "zones=[1"], r"--set zones=\[1: expected KEY=VALUE"),
        (["--results", QUICKSTART, "--skew", "2"], r"--skew 2: expected a share between 0 and 1"),
        (["--results", QUICKSTART, "--slo-ms", "1"], r"none of 2 cells keeps p99 below 1 ms"),
        ([*WITHIN, "--platform", "msk-standart"], r"did you mean msk-standard\?"),
        ([*WITHIN, "--set", "region=us-west-99"], r"unknown region"),
        (
            [*WITHIN, "--set", "retention_dais=3"],
            r"--set retention_dais: .* did you mean retention_days",
        ),
        ([*WITHIN, "--set", "retention_days=-3"], r"retention\.days: expected more than 0"),
    ],
)
def test_bad_input_gets_a_sentence_with_what_was_expected(words: list[str], told: str) -> None:
    with pytest.raises(ScenarioError, match=told):
        CliRunner().invoke(cli, [*ASKED, *words], catch_exceptions=False)


@pytest.mark.parametrize("number", ["nan", "inf"])
@pytest.mark.parametrize("option", ["--target-mbps", "--growth", "--slo-ms", "--peak-to-mean", "--consumer-mbps"])
def test_what_is_no_number_is_refused_with_the_option_named(option: str, number: str) -> None:
    """No comparison refuses nan: it went through every limit, to a traceback."""
    found = CliRunner().invoke(cli, [*ASKED, option, number])
    assert found.exit_code == 2
    assert f"Invalid value for '{option}': '{number}' is not a finite number." in found.stderr


@pytest.fixture
def topics() -> str:
    """The example of the documents."""
    return str(ROOT / "costmodel" / "examples" / "topics.csv")


@pytest.mark.usefixtures("ladder")
def test_topics_are_told_worst_first_with_what_they_cost(topics: str, snapshot: SnapshotAssertion) -> None:
    words = ["validate", "partitions", topics, "--platform", "msk-serverless"]
    found = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert found.exit_code == 0
    assert found.stdout == snapshot


@pytest.mark.usefixtures("ladder")
@pytest.mark.parametrize(("kinds", "code"), [((), 0), (("under",), 1), (("over",), 1), (("not-shown", "under"), 1)])
def test_ci_fails_on_what_it_was_told_to(topics: str, kinds: tuple[str, ...], code: int) -> None:
    words = ["validate", "partitions", topics, *(f"--fail-on={kind}" for kind in kinds)]
    assert CliRunner().invoke(cli, words).exit_code == code


@pytest.mark.usefixtures("ladder")
def test_ci_passes_where_no_topic_is_so(tmp_path: Path) -> None:
    """A gate that always closes is soon taken out."""
    file = tmp_path / "topics.csv"
    file.write_text("topic,partitions,mb_s,consumers\norders,24,12,12\n", encoding="utf-8")
    words = [
        "validate",
        "partitions",
        str(file),
        "--fail-on=under",
        "--fail-on=over",
        "--json",
    ]
    found = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert found.exit_code == 0
    document = json.loads(found.stdout)
    assert document["counts"] == {"under": 0, "over": 0, "not shown": 0, "well": 1}
    assert document["topics"][0]["runs"]


def test_a_file_or_a_cluster_is_needed_and_not_both(topics: str) -> None:
    for words in ([], [topics, "--bootstrap", "localhost:1"]):
        with pytest.raises(ScenarioError, match="expected a topics file, or --bootstrap"):
            CliRunner().invoke(cli, ["validate", "partitions", *words], catch_exceptions=False)


def test_the_figure_shows_where_the_answer_comes_from(ladder: Ladder, tmp_path: Path) -> None:
    """Its line crosses what is asked at the answer; a figure that disagreed with the sentence would be believed."""
    advice = advise(Need(40.0, 200.0, 12, 2.0), ladder)
    drawn = sizing(advice, ["self-ec2", "msk-serverless"], built_in())
    carried = dict(zip(drawn.shown.t_s, drawn.shown.values, strict=True))
    assert drawn.chosen == advice.partitions
    assert carried[drawn.chosen] >= advice.need.design_mb_s * (1 - 1e-9)
    assert max(value for at, value in carried.items() if at < drawn.chosen) < advice.need.design_mb_s
    assert {one.what for one in drawn.tried} == {"enough", "too few", "too many"}
    for line in drawn.dearer:
        own = dict(zip(line.t_s, line.values, strict=True))
        assert own[drawn.chosen] == 0
        assert line.values[-1] > 0
    assert "Marks are of" not in str(drawn.note)
    small = sizing(advise(Need(20.0, 100.0), ladder), ["self-ec2"], built_in())  # marks then lie above what is shown
    assert "Marks are of the runs' records of 200 bytes" in str(small.note)
    for name in ("sizing.svg", "sizing.png"):
        said("--platform", "self-ec2", "--figure", str(tmp_path / name))
        assert (tmp_path / name).stat().st_size > 5_000
    assert "30 partitions for 40 MB/s" in (tmp_path / "sizing.svg").read_text(encoding="utf-8")


@pytest.mark.usefixtures("ladder")
def test_without_an_answer_there_is_nothing_to_draw(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="nothing to draw"):
        said("--skew", "50%", "--figure", str(tmp_path / "none.svg"))


@pytest.mark.usefixtures("ladder")
def test_the_priced_stream_can_be_priced_again_by_hand(tmp_path: Path) -> None:
    """Two commands with two answers to one question would both be distrusted."""
    file = tmp_path / "usage.yaml"
    document = json.loads(said("--platform", "msk-serverless", "--json", "--usage", str(file)))
    priced = CliRunner().invoke(cli, ["cost", str(file), "--platform", "msk-serverless", "--json"])
    again = json.loads(priced.stdout)["options"][0]["usd_month"]["p50"]
    assert again == pytest.approx(document["usd_month"]["msk-serverless"]["p"], rel=1e-9)
