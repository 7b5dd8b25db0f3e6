"""What can go wrong, named by whom it is for.

    StreamgaugeError
    ├── ScenarioError     the user's file or words are off            exit code 2
    ├── HostError         this machine cannot: disk, memory, Docker   exit code 4
    └── PlatformError     Kafka or Flink failed                       exit code 4
        ├── BrokerError
        └── JobError

A failed *trial* is a Run with an outcome, never one of these reaching the user.
"""

from __future__ import annotations


class StreamgaugeError(Exception):
    """One clear sentence for a person; `exit_code` is what the command ends with."""

    exit_code = 4


class ScenarioError(StreamgaugeError):
    """A scenario, claim, usage or option that cannot be right. May carry several findings, one a line."""

    exit_code = 2


class HostError(StreamgaugeError):
    """This machine lacks something: disk, memory, a port, a container engine."""


class PlatformError(StreamgaugeError):
    """Kafka or Flink failed while we were using it."""


class BrokerError(PlatformError):
    """A broker did not start, died, or refused."""


class JobError(PlatformError):
    """A Flink job could not be submitted, failed, or never ran."""
