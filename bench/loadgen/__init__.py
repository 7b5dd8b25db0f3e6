"""Load through Locust in child processes, on schedule, and the batch consuming engine.

running = start(settings, bootstrap=..., topic=..., ...)     # returns once the clock is set
while not running.poll().done: ...                           # sample probes
sent = running.wait()
reasons = validity(sent)                                     # [] if the generator may be believed
"""

from __future__ import annotations

from bench.loadgen.drive import Drive, drive, prefill, start
from bench.loadgen.schedule import Schedule
from bench.loadgen.sent import Progress, Sent, validity

__all__ = ["Drive", "Progress", "Schedule", "Sent", "drive", "prefill", "start", "validity"]
