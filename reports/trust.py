"""Whether the runs may be believed: what the oracle said, which runs are no evidence, and how their logs end."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.record import Check, Outcome, Run
from reports import wording
from reports.evidence import Evidence, run_id, run_name
from reports.report import Column, Listing, Paragraph, Section, Source, Table, Tone, Words, said

_CENT = 0.01  # what disagrees must not be rounded until it agrees
_LOG_LINES, _LOG_WIDTH, _LOG_BYTES = 12, 160, 65_536
_ALARM = re.compile(rb"\b(ERROR|FATAL|Exception|Caused by|Traceback|OutOfMemory|Killed)")


def checks(evidence: Evidence) -> Section:
    """The oracle's answers: a count for each check, and each that disagreed."""
    found = [(run, check) for run in evidence.runs for check in run.checks]
    if not found:
        text = "No output was compared with an oracle: how right the answers are is not known."
        return Section("checks", "Are the answers right?", (said(text, Tone.UNSURE),))
    wrong = [(run, check) for run, check in found if not check.ok]
    rows = []
    for name in dict.fromkeys(check.name for _, check in found):
        these = [check for _, check in found if check.name == name]
        ok = sum(check.ok for check in these)
        rows.append(
            (
                (name,),
                (wording.number(len(these), "", Source("counted", "checks", f"{name} all")),),
                (wording.number(ok, "", Source("counted", "checks", f"{name} ok")),),
                (_compared(these),),
            )
        )
    columns = (
        Column("check"),
        Column("compared", "runs", numeric=True),
        Column("agree", "runs", numeric=True),
        Column("values compared"),
    )
    blocks: list[Any] = [
        Paragraph(_checks_sentence(len(found), len(wrong)), Tone.BAD if wrong else Tone.GOOD),
        Table("checks", "Outputs against the workload's oracle", columns, tuple(rows)),
    ]
    if wrong:
        blocks.append(_disagreements(wrong))
    return Section("checks", "Are the answers right?", tuple(blocks))


def in_short(evidence: Evidence) -> Words:
    """How many runs finished, and whether their outputs were right: what every sentence above rests on."""
    runs = evidence.runs
    finished = sum(run.outcome is Outcome.FINISHED for run in runs)
    found = [check for run in runs for check in run.checks]
    wrong = sum(not check.ok for check in found)
    counted: Words = (
        wording.number(finished, "", Source("counted", "runs", str(Outcome.FINISHED))),
        " of ",
        wording.count(len(runs), "run", Source("counted", "runs", "all")),
        " finished; ",
    )
    if not found:
        return (*counted, "no output was compared with an oracle.")
    text = _checks_sentence(len(found), wrong)
    return (*counted, str(text[0])[:1].lower() + str(text[0])[1:], *text[1:]) if not wrong else (*counted, *text)


def _checks_sentence(compared: int, wrong: int) -> Words:
    every = wording.number(compared, "", Source("counted", "checks", "all"))
    if not wrong:
        return ("All ", every, " comparisons of outputs with the oracle agree.")
    return (
        wording.number(wrong, "", Source("counted", "checks", "wrong")),
        " of ",
        every,
        " comparisons disagree: those runs are no evidence.",
    )


def _compared(these: Sequence[Check]) -> str:
    return "counts" if all(float(check.expected).is_integer() for check in these) else "amounts"


def _disagreements(wrong: Sequence[tuple[Run, Check]]) -> Table:
    rows = []
    for run, check in wrong:
        expected, actual = (
            wording.number(value, "", Source("check", run_id(run), f"{check.name} {part}"), _CENT)
            for part, value in (("expected", check.expected), ("actual", check.actual))
        )
        rows.append(((run_name(run),), (check.name,), (expected,), (actual,), (check.detail,)))
    columns = (
        Column("run"),
        Column("check"),
        Column("expected", numeric=True),
        Column("actual", numeric=True),
        Column("detail"),
    )
    return Table("disagreements", "Where an output disagrees with the oracle", columns, tuple(rows))


def failures(evidence: Evidence) -> Section | None:
    """Runs that are no evidence and why, with the end of their logs; None where all finished and all could be read."""
    blocks: list[Any] = []
    bad = [run for run in evidence.runs if run.outcome is not Outcome.FINISHED]
    if bad:
        counts = [
            wording.count(sum(run.outcome is o for run in bad), f"{o} run", Source("counted", "runs", str(o)))
            for o in Outcome
            if any(run.outcome is o for run in bad)
        ]
        words = [part for each in counts for part in (each, ", ")][:-1]
        blocks.append(Paragraph((*words, f": nothing above rests on {'it' if len(bad) == 1 else 'them'}."), Tone.BAD))
    for run in bad:
        inner: list[Any] = [
            said(f"{str(run.outcome).capitalize()}: {run.reason or 'no reason was recorded'}", Tone.BAD)
        ]
        if run.outcome is Outcome.CRASHED:
            inner += [Listing((f"{name}:", *lines)) for name, lines in log_tail(run)]
        blocks.append(
            Section(f"failure-{run_id(run).replace('/', '-')}", run_name(run), tuple(inner), folded=len(bad) > 4)
        )
    if evidence.unreadable:
        blocks.append(said("Could not be read, and is missing above:", Tone.WARNING))
        blocks.append(Listing(tuple(dict.fromkeys(evidence.unreadable))))
    return Section("failures", "What went wrong", tuple(blocks)) if blocks else None


def log_tail(run: Run) -> list[tuple[str, list[str]]]:
    """The ends of the logs that show an error, at most two; of the last one written where none does. Never raises."""
    folder = run.bundle / "logs" if run.bundle else None
    if folder is None or not folder.is_dir():
        return []
    ends = {path: _end(path) for path in sorted(folder.rglob("*")) if path.is_file()}
    ends = {path: text for path, text in ends.items() if text.strip()}
    alarmed = [path for path, text in ends.items() if _ALARM.search(text)]
    chosen = alarmed[:2] or sorted(ends, key=lambda path: path.stat().st_mtime)[-1:]
    return [(path.relative_to(run.bundle or folder).as_posix(), _last_lines(ends[path])) for path in chosen]


def _end(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _LOG_BYTES))
            return file.read()
    except OSError:
        return b""


def _last_lines(text: bytes) -> list[str]:
    lines = text.decode(errors="replace").splitlines()
    at = next((index for index, line in enumerate(lines) if _ALARM.search(line.encode())), 0)
    start = max(0, len(lines) - _LOG_LINES, min(at, len(lines) - _LOG_LINES))
    return [line if len(line) <= _LOG_WIDTH else f"{line[: _LOG_WIDTH - 1]}…" for line in lines[start:]]
