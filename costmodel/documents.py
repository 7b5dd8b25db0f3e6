"""YAML files -> validated models; every finding with file, line, field and the nearest valid word, all at once."""

from __future__ import annotations

import difflib
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from bench.errors import ScenarioError

M = TypeVar("M", bound=BaseModel)


def read(path: Path, model: type[M]) -> M:
    """The file at `path` as a `model`. Raises ScenarioError naming file, line, field and what was expected."""
    return validate(mapping(path), model, path)


def mapping(path: Path) -> dict[str, Any]:
    """The YAML mapping in `path` as plain Python values."""
    try:
        data = YAML(typ="safe").load(path)
    except OSError as error:
        raise ScenarioError(f"{path}: cannot be read: {error.strerror}") from None
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ScenarioError(f"{path}:{line}: not valid YAML: {error.problem}") from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise ScenarioError(f"{path}: not valid YAML: {error}") from None
    if not isinstance(data, dict):
        raise ScenarioError(f"{path}:1: expected keys and values, found {type(data).__name__}")
    return data


def validate(data: Mapping[str, Any], model: type[M], path: Path | None = None) -> M:
    """`data` as a `model`; `path` is where it came from, for line numbers (None: made in memory)."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise ScenarioError("\n".join(_findings(error, model, path))) from None


def nearest(word: str, valid: Iterable[str]) -> str:
    """', did you mean X?' or the list of what is valid: the tail of an error message."""
    words = sorted(valid)
    close = difflib.get_close_matches(word, words, n=1, cutoff=0.5)
    return f"did you mean {close[0]}?" if close else f"expected one of {', '.join(words)}"


def line_of(path: Path | None, loc: tuple[int | str, ...]) -> int | None:
    """The 1-based line at which `loc` stands in the file, or the line of the innermost part of it that does."""
    if path is None:
        return None
    node: Any = YAML(typ="rt").load(path)
    line = 1
    for key in loc:
        try:
            marks = node.lc
            position = marks.item(key) if isinstance(node, list) else marks.key(key)
            node, line = node[key], position[0] + 1
        except (AttributeError, KeyError, IndexError, TypeError):
            break
    return line


def _findings(error: ValidationError, model: type[BaseModel], path: Path | None) -> list[str]:
    found = []
    for item in error.errors():
        loc = item["loc"]
        line = line_of(path, loc)
        where = f"{path}:{line}: " if path is not None else ""
        field = ".".join(str(part) for part in loc) or "file"
        found.append(f"{where}{field}: {_sentence(item, loc, model)}")
    return list(dict.fromkeys(found))


def _sentence(item: Mapping[str, Any], loc: tuple[int | str, ...], model: type[BaseModel]) -> str:
    kind = item["type"]
    if kind == "extra_forbidden":
        return f"unknown key; {nearest(str(loc[-1]), _keys_beside(loc, model))}"
    if kind == "missing":
        expected = _description(loc, model)
        return "missing" + (f"; expected {expected}" if expected else "")
    message = str(item["msg"]).removeprefix("Value error, ")
    given = item.get("input")
    shown = f", got {given!r}" if isinstance(given, str | int | float | bool) and "got" not in message else ""
    return f"{message}{shown}"


def _model_at(loc: tuple[int | str, ...], model: type[BaseModel]) -> type[BaseModel] | None:
    in_mapping = False
    for key in loc:
        if isinstance(key, int):
            continue
        field = model.model_fields.get(key)
        if field is None:
            if in_mapping:  # a key of the user's choosing
                in_mapping = False
                continue
            return None
        in_mapping = typing.get_origin(field.annotation) is Mapping
        inner = _model_in(field.annotation)
        if inner is None:
            return None
        model = inner
    return model


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for arg in typing.get_args(annotation) if (found := _model_in(arg))), None)


def _keys_beside(loc: tuple[int | str, ...], model: type[BaseModel]) -> list[str]:
    owner = _model_at(loc[:-1], model)
    return [field.alias or name for name, field in owner.model_fields.items()] if owner else []


def _description(loc: tuple[int | str, ...], model: type[BaseModel]) -> str:
    owner = _model_at(loc[:-1], model)
    field = owner.model_fields.get(str(loc[-1])) if owner else None
    return (field.description or "") if field else ""
