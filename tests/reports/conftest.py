"""One quickstart for all tests of reports: telling it is quick, saving nine bundles less so."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # tests are no package: the fixtures beside them are a plain module

import fixtures


@pytest.fixture(scope="session")
def told(tmp_path_factory: pytest.TempPathFactory) -> fixtures.Story:
    return fixtures.story(tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="session")
def folder(told: fixtures.Story) -> Path:
    """Where the runs of `told` lie, with the report's files beside them."""
    from reports import render

    bundle = told.runs[0].bundle
    assert bundle is not None
    render.write(told.report, bundle.parents[1])
    return bundle.parents[1]
