"""The search for the highest sustainable rate: asks for trials, is told how they went, ends in a confirmed answer.

    hunt = search(50_000)
    ask = next(hunt)
    while True:
        try:
            ask = hunt.send(Answer(Outcome.PASS, "", 45.0))     # after a trial at ask.rate_eps
        except StopIteration as ended:
            return ended.value

The same answers lead to the same questions, so that a search resumes by answering from what was already run.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from enum import StrEnum

from bench.analysis.sustainable import Outcome

FACTOR = 2.0  # of the ramp
STEP = 1.025  # between neighbouring rates of the answer: finer than the 5 % promised, because noise takes the rest
ABOVE = 2  # steps (5 %) from the found rate to the one that has to fail
CONFIRM, CONFIRM_OF = 4, 5  # passes at the found rate
ABOVE_FAIL = 3  # fails of five one step above
ALIKE = 1.15  # rates that take about as long
BUDGET_S = 900.0
MOST_DOUBLINGS = 24
FALLS = (1, 1, 2, 4)  # steps down, one after another
MOST_MOVES = 12  # up or down the ladder while confirming


class Purpose(StrEnum):
    """Why a trial is asked for."""

    RAMP = "ramp"
    BISECT = "bisect"
    CONFIRM = "confirm"
    ABOVE = "above"


class Status(StrEnum):
    """How a search ended."""

    FOUND = "found"  # confirmed, and the step above fails
    BLURRED = "found, but its limit is not sharp"  # confirmed; the step above neither fails nor passes reliably
    AT_LEAST = "at least"  # confirmed; above it the generator, the allowed range or the time ends
    NOT_FOUND = "not found"  # even the lowest rate fails
    OUT_OF_TIME = "out of time"  # not confirmed


@dataclass(frozen=True)
class Ask:
    """Run a trial at this rate. `number` counts from 0 and tells repetitions of a rate apart."""

    rate_eps: float
    purpose: Purpose
    number: int


@dataclass(frozen=True)
class Answer:
    """How it went, why, and how long it took."""

    outcome: Outcome
    reason: str = ""
    took_s: float = 0.0


@dataclass(frozen=True)
class Attempt:
    """A question with its answer."""

    ask: Ask
    answer: Answer


@dataclass(frozen=True)
class Found:
    """Where a search ended. `rate_eps` is None unless confirmed; `low_eps` passed, `high_eps` did not."""

    status: Status
    rate_eps: float | None
    low_eps: float | None
    high_eps: float | None
    attempts: tuple[Attempt, ...]
    sentence: str


Hunt = Generator[Ask, Answer, Found]
_Asking = Generator[Ask, Answer, bool | None]


class _OutOfTimeError(Exception):
    """The next trial would not fit. Never leaves this module."""


@dataclass
class _State:
    """What has been asked so far, and the bracket."""

    floor_eps: float
    ceiling_eps: float
    budget_s: float
    attempts: list[Attempt] = field(default_factory=list)
    low: float | None = None
    high: float | None = None
    generator_ends: bool = False  # `high` is where the generator, not the system, gives up

    def ask(self, rate: float, purpose: Purpose) -> _Asking:
        """True, False, or None when the generator could not offer the rate twice in a row."""
        for _ in range(2):
            spent = sum(attempt.answer.took_s for attempt in self.attempts)
            if spent + self._takes_s(rate) > self.budget_s:
                raise _OutOfTimeError
            question = Ask(rate, purpose, len(self.attempts))
            answer = yield question
            self.attempts.append(Attempt(question, answer))
            if answer.outcome is not Outcome.INVALID:
                return answer.outcome is Outcome.PASS
        return None

    def _takes_s(self, rate: float) -> float:
        """At most so long will a trial at this rate take: as the longest about this rate did, or else as any did."""
        took = [(one.ask.rate_eps, one.answer.took_s) for one in self.attempts]
        alike = [seconds for tried, seconds in took if ALIKE > tried / rate > 1 / ALIKE]
        return max(alike or [seconds for _, seconds in took], default=0.0)

    def tally(self, rate: float, outcome: Outcome) -> int:
        """Confirming trials at a rate that ended so; the bracket's own trials chose the rate and do not count."""
        counted = (Purpose.CONFIRM, Purpose.ABOVE)
        return sum(
            a.ask.rate_eps == rate and a.ask.purpose in counted and a.answer.outcome is outcome for a in self.attempts
        )


def search(
    start_eps: float, *, floor_eps: float = 100.0, ceiling_eps: float = 1e8, budget_s: float = BUDGET_S
) -> Hunt:  # fmt: skip
    """Geometric ramp to a bracket, bisection on a log scale to 2.5 %, then confirmations.

    The found rate passes 4 of 5 fresh trials and the rate 5 % above fails 3 of 5; while it does not, the search moves
    down by 2.5 % twice, then by 5 % and by 10 % (what fails again and again is not near its limit, its bracket was
    luck), or up by 5 %. A trial whose generator fell short says nothing about the system: it is repeated once, and
    twice in a row ends the range there. So is a failure of the very first trial: no later one meets a system so cold,
    and a bracket below it would never be left again. Stops before a trial that would exceed `budget_s`.
    """
    state = _State(floor_eps, ceiling_eps, budget_s)
    try:
        yield from _bracket(state, _rounded(start_eps))
        if state.low is None:
            return _end(state, Status.NOT_FOUND, None)
        yield from _bisect(state)
        status, rate = yield from _confirm(state)
    except _OutOfTimeError:
        if state.low is not None and state.tally(state.low, Outcome.PASS) >= CONFIRM:
            return _end(state, Status.AT_LEAST, state.low, "the time was over before the rate above was shown to fail")
        return _end(state, Status.OUT_OF_TIME, None)
    return _end(state, status, rate)


def drive(hunt: Hunt, trial: Callable[[Ask], Answer]) -> Found:
    """Run a search to its end with `trial` answering."""
    ask = next(hunt)
    while True:
        try:
            ask = hunt.send(trial(ask))
        except StopIteration as ended:
            found: Found = ended.value
            return found


def _bracket(state: _State, start: float) -> Generator[Ask, Answer, None]:
    rate = min(max(start, state.floor_eps), state.ceiling_eps)
    for _ in range(MOST_DOUBLINGS):
        passed = yield from state.ask(rate, Purpose.RAMP)
        if passed is False and len(state.attempts) == 1:
            passed = yield from state.ask(rate, Purpose.RAMP)
        if passed:
            state.low = rate
            if state.high is not None or rate >= state.ceiling_eps:
                return
            rate = _rounded(min(rate * FACTOR, state.ceiling_eps))
        else:
            state.high, state.generator_ends = rate, passed is None
            if state.low is not None or rate <= state.floor_eps:
                return
            rate = _rounded(max(rate / FACTOR, state.floor_eps))


def _bisect(state: _State) -> Generator[Ask, Answer, None]:
    while state.low is not None and state.high is not None and state.high / state.low > STEP * 1.001:
        middle = _rounded((state.low * state.high) ** 0.5)
        passed = yield from state.ask(middle, Purpose.BISECT)
        if passed:
            state.low = middle
        else:
            state.high, state.generator_ends = middle, passed is None


def _confirm(state: _State) -> Generator[Ask, Answer, tuple[Status, float | None]]:
    assert state.low is not None
    # the ladder's rates are base x 1.025^rung, so that going up and down meets the same ones
    base, rung, falls = state.low, 0, 0

    def rate(at: int) -> float:
        return _rounded(base * STEP**at)

    for _ in range(MOST_MOVES):
        if rate(rung) < state.floor_eps:
            return Status.NOT_FOUND, None
        passed = yield from _passes(state, rate(rung), Purpose.CONFIRM)
        if not passed:
            state.high, state.low = rate(rung), None
            rung -= FALLS[min(falls, len(FALLS) - 1)]
            falls += 1
            continue
        falls = 0
        state.low = rate(rung)
        if rate(rung + ABOVE) > state.ceiling_eps or (rung >= 0 and state.generator_ends):
            return Status.AT_LEAST, rate(rung)
        fails = yield from _fails(state, rate(rung + ABOVE))
        if fails is None:
            return Status.AT_LEAST, rate(rung)
        state.high = rate(rung + ABOVE)
        if fails:
            return Status.FOUND, rate(rung)
        above = yield from _passes(state, rate(rung + ABOVE), Purpose.ABOVE)
        if not above:
            return Status.BLURRED, rate(rung)
        rung += ABOVE
    raise _OutOfTimeError  # it wandered: as undecided as no time left


def _passes(state: _State, rate: float, purpose: Purpose) -> _Asking:
    """Whether 4 of 5 pass; False as soon as two do not."""
    while state.tally(rate, Outcome.PASS) < CONFIRM:
        if state.tally(rate, Outcome.FAIL) > CONFIRM_OF - CONFIRM:
            return False
        if (yield from state.ask(rate, purpose)) is None:
            return False
    return True


def _fails(state: _State, rate: float) -> _Asking:
    """Whether 3 of 5 fail; False as soon as three pass; None if the generator cannot offer the rate."""
    while state.tally(rate, Outcome.FAIL) < ABOVE_FAIL:
        if state.tally(rate, Outcome.PASS) > CONFIRM_OF - ABOVE_FAIL:
            return False
        if (yield from state.ask(rate, Purpose.ABOVE)) is None:
            return None
    return True


def _end(
    state: _State, status: Status, rate: float | None, why: str = "the load itself could not be taken further"
) -> Found:
    sentences = {
        Status.FOUND: f"Sustains {rate or 0:,.0f} events/s: 4 of 5 runs pass there, 3 of 5 fail 5% above.",
        Status.BLURRED: f"Sustains {rate or 0:,.0f} events/s in 4 of 5 runs; 5% above is neither failing nor passing.",
        Status.AT_LEAST: f"Sustains at least {rate or 0:,.0f} events/s in 4 of 5 runs: {why}.",
        Status.NOT_FOUND: f"No sustainable rate down to {state.floor_eps:,.0f} events/s.",
        Status.OUT_OF_TIME: "Inconclusive: no rate was confirmed within the time allowed"
        + (f"; {state.low:,.0f} events/s passed" if state.low else "")
        + (f"; {state.high:,.0f} did not" if state.high else "")
        + ".",
    }
    return Found(status, rate, state.low, state.high, tuple(state.attempts), sentences[status])


def _rounded(rate: float) -> float:
    """Four significant digits: a rate people can read, and the same one when it is reached on another way."""
    return float(f"{rate:.4g}")
