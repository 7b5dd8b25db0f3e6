"""One load without the bench around it, by workers that come from elsewhere. `python -m bench.loadgen.headless FILE`.

FILE: {settings: {workload, load, producer}, bootstrap, topic, partitions, duration_s, warmup_s, seed, bind_host, port,
ready_s}. A Locust master waits there for as many workers as the load has; a line of progress a second goes to stderr,
and what was sent to stdout, as JSON. Exit code 0 only if every event was acknowledged and the generator was on time.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.errors import StreamgaugeError
from bench.loadgen.drive import Master, start
from bench.loadgen.sent import Sent, validity

MONITOR_S = 1.0


def run(order: Mapping[str, Any], run_dir: Path) -> Sent:
    """Wait for the workers, let them send, and say what was sent."""
    running = start(
        order["settings"], bootstrap=order["bootstrap"], topic=order["topic"], partitions=order["partitions"],
        duration_s=order["duration_s"], warmup_s=order["warmup_s"], run_dir=run_dir, seed=order["seed"],
        master=Master(bind_host=order["bind_host"], port=order["port"], spawn_workers=False), ready_s=order["ready_s"],
    )  # fmt: skip
    while not (now := running.poll()).done and now.t_s < running.schedule.seconds:
        print(
            f"{now.t_s:.0f} s: {now.acknowledged} acknowledged, {now.queued} queued, late {now.lateness_p99_ms:.1f} ms",
            file=sys.stderr,
        )
        time.sleep(MONITOR_S)
    return running.wait()


def told(sent: Sent) -> dict[str, Any]:
    """What a person or a script asks of a load; `problems` is empty where it can be believed."""
    return {
        "offered_events": sent.offered_events,
        "acknowledged_events": sent.acknowledged_events,
        "acknowledged_eps": sent.in_window("acked") / sent.window_s,
        "schedule_lateness_p99_ms": sent.lateness_ms.percentile(99),
        "generator_cpu_s_per_million_events": sent.cpu_s_per_million_events,
        "workers": sent.workers,
        "problems": validity(sent),
    }


def main(path: Path) -> int:
    """Run the order in the file; returns the exit code."""
    order = json.loads(path.read_text(encoding="utf-8"))
    try:
        with tempfile.TemporaryDirectory() as folder:
            sent = run(order, Path(folder))
    except StreamgaugeError as error:
        print(f"headless: {error}", file=sys.stderr)
        return error.exit_code
    document = told(sent)
    print(json.dumps(document, indent=1))
    return 1 if document["problems"] or sent.acknowledged_events < sent.offered_events else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
