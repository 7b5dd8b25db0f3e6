"""For every test: what a busy machine must not decide."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("calm", deadline=None)  # a neighbour's load is no finding about an example
settings.load_profile("calm")
