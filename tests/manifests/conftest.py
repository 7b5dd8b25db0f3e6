"""One scenario's tree, made once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bench.manifests.kustomize import Tree
from tests.manifests.scene import rendered, settings


@pytest.fixture(scope="session")
def quickstart() -> Tree:
    return rendered(settings())


@pytest.fixture
def write(tmp_path: Path) -> Callable[[Tree], Path]:
    def put(files: Tree) -> Path:
        for path, text in files.items():
            file = tmp_path / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return tmp_path

    return put
