"""`python -m bench.toolchain [lock | verify] [GROUP ...]`: the toolchain without the rest of Streamgauge."""

from __future__ import annotations

import sys

from bench.errors import StreamgaugeError
from bench.toolchain import lockfile
from bench.toolchain.assembly import describe, provision


def main(words: list[str]) -> int:
    """Provision, or rewrite the lock; returns the exit code."""
    try:
        if words[:1] == ["lock"]:
            for line in lockfile.relock():
                print(line, file=sys.stderr)
            return 0
        rehash = words[:1] == ["verify"]
        only = set(words[1:] if rehash else words) or None
        print(describe(provision(only=only, rehash=rehash)))
    except StreamgaugeError as e:
        print(f"error: {e}", file=sys.stderr)
        return e.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
