"""The dotted paths of a scenario: finding one, suggesting the nearest, setting one, explaining what is wrong at one.

`topic.partitions` is a path; in a free mapping the rest is one key (`pipeline.flink.table.exec.state.ttl`,
`axes.topic.partitions`); a list takes an index (`faults.0.at_s`).
"""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from bench.scenario.sections import Document, Load, Names
from bench.scenario.source import KeyPath, Source, dotted, read_value
from bench.scenario.words import nearest, shown

SWEEPABLE = (
    "workload", "load", "producer", "topic", "cluster", "pipeline", "consumers", "faults", "phases", "label",
)  # fmt: skip


@dataclass(frozen=True)
class Place:
    """A path that a scenario has, and the type of what stands there."""

    path: KeyPath
    kind: Any  # a type annotation, metadata included

    @property
    def single(self) -> bool:
        """One word or number, so that it can be an axis."""
        return not any(model_of(k) or get_origin(k) in (tuple, _MAPPING) for k in _alternatives(self.kind))

    def problem(self, value: Any, names: Names) -> str | None:
        """Why `value` cannot stand here, in words, or None."""
        try:
            _adapter(self.kind).validate_python(value, context=names)
        except ValidationError as error:
            return explain(error.errors()[0], self.path)
        return None


_MAPPING = get_origin(Mapping[str, int])


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind, config=ConfigDict(strict=True, allow_inf_nan=False))


def _alternatives(kind: Any) -> list[Any]:
    if get_origin(kind) is Annotated:
        return _alternatives(get_args(kind)[0])
    if get_origin(kind) in (Union, types.UnionType):
        return [inner for part in get_args(kind) for inner in _alternatives(part)]
    return [kind]


def model_of(kind: Any) -> type[BaseModel] | None:
    """The section that stands at `kind`, if any."""
    return next((k for k in _alternatives(kind) if isinstance(k, type) and issubclass(k, BaseModel)), None)


def fields(model: type[BaseModel]) -> dict[str, Any]:
    """Key as written in YAML -> type annotation with its metadata."""
    return {
        info.alias or name: Annotated[info.annotation, *info.metadata] if info.metadata else info.annotation
        for name, info in model.model_fields.items()
    }


def locate(text: str, data: Mapping[str, Any]) -> Place | None:
    """The place of a dotted path, or None where a scenario has none; entries of `loads` must exist in `data`."""
    words, kind, path = text.split("."), Document, ()  # type: tuple[list[str], Any, KeyPath]
    here: Any = data
    while words:
        step = _step(kind, words, here)
        if step is None:
            return None
        word, kind, words = step
        path = (*path, word)
        if isinstance(here, Mapping):
            here = here.get(str(word))
        else:
            here = here[word] if isinstance(here, tuple) and isinstance(word, int) else None
    return Place(path, kind)


def _step(kind: Any, words: list[str], here: Any) -> tuple[str | int, Any, list[str]] | None:
    """One step down: the word taken, what stands there, the words left."""
    if model := model_of(kind):
        known = fields(model)
        return (words[0], known[words[0]], words[1:]) if words[0] in known else None
    for part in _alternatives(kind):
        if get_origin(part) is _MAPPING:
            inner = get_args(part)[1]
            if not model_of(inner):
                return ".".join(words), inner, []
            return (words[0], inner, words[1:]) if isinstance(here, Mapping) and words[0] in here else None
        if get_origin(part) is tuple and words[0].isdigit():
            index = int(words[0])
            known_index = isinstance(here, tuple) and index < len(here)
            return (index, get_args(part)[0], words[1:]) if known_index else None
    return None


def paths(data: Any, kind: Any = Document, prefix: str = "") -> Iterator[str]:
    """Every dotted path that this scenario has or may have."""
    if model := model_of(kind):
        for key, inner in fields(model).items():
            yield f"{prefix}{key}"
            yield from paths(data.get(key) if isinstance(data, Mapping) else None, inner, f"{prefix}{key}.")
        return
    for part in _alternatives(kind):
        if get_origin(part) is _MAPPING and isinstance(data, Mapping):
            for key, here in data.items():
                yield f"{prefix}{key}"
                yield from paths(here, get_args(part)[1], f"{prefix}{key}.")
        if get_origin(part) is tuple and isinstance(data, tuple) and model_of(get_args(part)[0]):
            for i, here in enumerate(data):
                yield from paths(here, get_args(part)[0], f"{prefix}{i}.")


def axis_problem(text: str, data: Mapping[str, Any]) -> str | None:
    """Why `text` cannot be an axis, in words, or None."""
    place = axis_place(text, data)
    if place is not None and place.path[0] in SWEEPABLE and place.single:
        return None
    return (
        f"cannot be an axis, expected a path to one value of this file, such as topic.partitions"
        f"{nearest(text, sweepable_paths(data))}"
    )


def axis_place(text: str, data: Mapping[str, Any]) -> Place | None:
    """The place of an axis; `load.rate_eps` is the load's own, whether the file says `load` or `loads`."""
    loads = data.get("loads")
    views = [{**data, "load": entry} for entry in loads.values()] if isinstance(loads, dict) else []
    return next((place for view in [data, *views] if (place := locate(text, view))), None)


def sweepable_paths(data: Mapping[str, Any]) -> list[str]:
    """Dotted paths that may be an axis."""
    return [
        p
        for p in paths(data)
        if p.partition(".")[0] in SWEEPABLE and (place := axis_place(p, data)) is not None and place.single
    ]


# ---- options: --set PATH=VALUE


def apply_options(source: Source, overrides: Sequence[str]) -> None:
    """Puts each `PATH=VALUE` into the data; it wins over everything in the file, `quick` and single loads included."""
    for text in overrides:
        option = f"--set {text}"
        name, equals, raw = text.partition("=")
        name = name.strip()
        if not equals:
            source.blame_option(option, (), "expected PATH=VALUE, such as topic.partitions=12")
            continue
        try:
            value = read_value(raw)
        except ValueError as error:
            source.blame_option(option, (name,), str(error))
            continue
        if place := locate(name, source.data):
            set_path(source, place, value, option)
        else:
            hint = nearest(name, list(paths(source.data))) or ", expected a path such as topic.partitions"
            source.blame_option(option, (name,), f"no such setting{hint}")


def set_path(source: Source, place: Place, value: Any, option: str) -> None:
    """Sets one path. A list on a path to one value is an axis; one value on an axis' path replaces that axis."""
    path, loads = place.path, source.get(("loads",))
    names = list(loads) if isinstance(loads, dict) else []
    if path[0] == "load" and names:
        source.blame_option(option, path, f"the loads have names here, expected loads.{names[0]}{dotted(path)[4:]}")
    elif path[0] == "pipeline" and path[1:2] not in ((), ("job",)) and source.get(("pipeline",)) in (None, "none"):
        source.blame_option(option, path, "there is no pipeline here, expected pipeline.job first")
    elif path[0] == "loads" and len(path) > 2:
        inner = ("load", *path[2:]) if path[2] in fields(Load) else path[2:]
        _set_at(source, [path[:2]], Place(inner, place.kind), value, option)
    else:
        _set_at(source, [(), *(("loads", name) for name in names)], place, value, option)


def _set_at(source: Source, levels: list[KeyPath], place: Place, value: Any, option: str) -> None:
    """`place` is seen from each level: the file, or an entry of `loads`. The first level holds the value."""
    path, axis, sweepable = place.path, dotted(place.path), place.path[0] in SWEEPABLE and place.single
    if path[0] == "axes" and len(path) == 2:
        axis, sweepable, value = str(path[1]), True, value if isinstance(value, tuple) else (value,)
    if sweepable and isinstance(value, tuple):
        for level in levels:
            if level == levels[0] or source.get((*level, "axes")) is not None:
                _sweep(source, level, axis, value, option)
        return
    for level in levels:
        for axes in ((*level, "axes"), (*level, "quick", "axes")):
            if source.get((*axes, axis)) is not None:
                source.put((*axes, axis), (value,), option)
        source.drop((*level, "quick", *path))
        if level != levels[0]:
            source.drop((*level, *path))
    inner = path[1:] if levels[0] and path[0] == "load" else path  # an entry of `loads` holds its load's keys itself
    source.put((*levels[0], *inner), value, option)


def _sweep(source: Source, level: KeyPath, name: str, values: tuple[Any, ...], option: str) -> None:
    if source.get((*level, "axes")) is None:
        source.put((*level, "axes"), dict(source.get(("axes",)) or {}), option)
    source.put((*level, "axes", name), values, option)
    source.drop((*level, "quick", "axes", name))


# ---- pydantic's findings in plain words

_WANTED = {
    "int": "a whole number",
    "float": "a number",
    "finite": "a finite number",
    "string": "a word",
    "bool": "true or false",
    "tuple": "a list, such as [a, b]",
    "mapping": "a mapping of keys to values",
    "dict": "a mapping of keys to values",
}
_BOUNDS = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}


def explain(error: ErrorDetails, path: KeyPath) -> str:
    """What was wrong and what was expected; `path` is where."""
    kind, value = error["type"], error["input"]
    context: Mapping[str, Any] = error.get("ctx", {})
    if kind == "value_error":
        return str(context["error"])  # said by a validator of ours
    if kind == "extra_forbidden":
        known, word = _keys_beside(path), str(path[-1])
        hint = nearest(word, known) or nearest(word, list(paths({})))
        return f"unknown key, expected one of {', '.join(known)}{hint}"
    was = "is missing" if kind == "missing" else "is empty" if value in (None, "", (), {}) else f"was {shown(value)}"
    wanted = _WANTED.get(kind.partition("_")[0])
    if kind in _BOUNDS:
        key, bound = _BOUNDS[kind]
        wanted = f"{bound} {context[key]:g}"
    elif kind == "literal_error":
        words = context["expected"].replace("'", "")
        near = nearest(value, words.replace(" or ", ", ").split(", ")) if isinstance(value, str) else ""
        wanted = words + near  # of numbers none is nearer in meaning: acks -1 is `all`, not 1
    elif kind == "string_pattern_mismatch":
        wanted = "lower-case letters, digits and hyphens"
    elif kind in ("missing", "too_short", "string_too_short") or kind.startswith("model"):
        wanted = _expected(_kind_at(path), path)
    axis = " (several values go under axes)" if isinstance(value, tuple) and value and path[0] in SWEEPABLE else ""
    return f"{was}, expected {wanted}{axis}" if wanted else f"{was}: {error['msg']}"


def _expected(kind: Any, path: KeyPath) -> str:
    """What belongs at a path: the section's keys, a list, or a value."""
    if model := model_of(kind):
        none = "none or " if path[-1] in ("pipeline", "checkpoint") else ""
        return f"{none}a mapping with {', '.join(fields(model))}"
    part = _alternatives(kind)[0]
    if get_origin(part) is Literal:
        return f"{path[-1]}: {get_args(part)[0]}"
    if get_origin(part) in (tuple, _MAPPING):
        return "at least one entry"
    return {int: "a whole number", float: "a number", str: "a word"}.get(part, "a value")


def _keys_beside(path: KeyPath) -> list[str]:
    model = model_of(_kind_at(path[:-1]))
    return list(fields(model)) if model else []


def _kind_at(path: KeyPath) -> Any:
    kind: Any = Document
    for word in path:
        if model := model_of(kind):
            kind = fields(model).get(str(word))
        else:
            kind = next(
                (
                    get_args(k)[1 if get_origin(k) is _MAPPING else 0]
                    for k in _alternatives(kind)
                    if get_origin(k) in (_MAPPING, tuple)
                ),
                None,
            )
    return kind
