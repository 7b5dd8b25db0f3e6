"""Load through Locust in child processes, on schedule, and the batch consuming engine.

running = start(settings, bootstrap=..., topic=..., ...)     # returns once the clock is set
while not running.poll().done: ...                           # sample probes
sent = running.wait()
reasons = validity(sent)                                     # [] if the generator may be believed

consuming = start_consumers([{"group": "a", "members": 2}], bootstrap=..., topic=..., ...)
consuming.begin(partitions)                                  # lets them read, once every group is complete
[read] = consuming.stop()
"""

from __future__ import annotations

from bench.loadgen.consume import Consuming, Read, start_consumers
from bench.loadgen.drive import Drive, drive, prefill, start
from bench.loadgen.schedule import Schedule
from bench.loadgen.sent import Progress, Sent, validity

__all__ = [
    "Consuming", "Drive", "Progress", "Read", "Schedule", "Sent", "drive", "prefill", "start", "start_consumers",
    "validity",
]  # fmt: skip
