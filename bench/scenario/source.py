"""A YAML file as plain data in which every value still knows where it was written: file and line, or an option.

pydantic says *what* is wrong at which path; this says *where* that path stands, so that an error can point.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import SafeConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from bench.errors import ScenarioError

KeyPath = tuple[str | int, ...]  # ("topic", "partitions"), ("faults", 0, "at_s"), ("axes", "topic.partitions", 1)


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, where it was written."""

    where: str
    path: KeyPath
    text: str

    def __str__(self) -> str:
        said = f"{self.where}: {dotted(self.path)}: {self.text}" if self.path else f"{self.where}: {self.text}"
        return said if said.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in said)


def dotted(path: KeyPath) -> str:
    """("faults", 0, "at_s") -> "faults.0.at_s"."""
    return ".".join(map(str, path))


@dataclass
class Source:
    """`data` holds dicts, tuples (for lists) and scalars; `origins` says where each path was written."""

    file: Path
    data: dict[str, Any] = field(default_factory=dict)
    origins: dict[KeyPath, str] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def where(self, path: KeyPath) -> str:
        """`file:line` or the option of the longest known part of `path`."""
        for end in range(len(path), -1, -1):
            if path[:end] in self.origins:
                return self.origins[path[:end]]
        return f"{self.file}:1"

    def blame(self, path: KeyPath, text: str) -> None:
        """Notes one finding, once."""
        finding = Finding(self.where(path), path, text)
        if finding not in self.findings:
            self.findings.append(finding)

    def blame_option(self, option: str, path: KeyPath, text: str) -> None:
        """Notes what is wrong with a word of the command line, before it has changed anything."""
        self.findings.append(Finding(option, path, text))

    def stop_if_wrong(self) -> None:
        """Raises everything found so far as one ScenarioError, a finding a line, in file order."""
        said: dict[tuple[str, str], Finding] = {}
        for finding in self.findings:  # one option may stand at several paths: name the shortest, once
            key = (finding.where, finding.text if finding.where.startswith("--") else str(finding))
            if key not in said or len(finding.path) < len(said[key].path):
                said[key] = finding
        if said:
            raise ScenarioError("\n".join(map(str, sorted(said.values(), key=_position))))

    def get(self, path: KeyPath) -> Any:
        """The value at `path`, None where there is nothing."""
        here: Any = self.data
        for word in path:
            if isinstance(here, tuple):
                here = here[word] if isinstance(word, int) and word < len(here) else None
            else:
                here = here.get(word) if isinstance(here, dict) else None
        return here

    def put(self, path: KeyPath, value: Any, origin: str) -> None:
        """Replaces what stands at `path`, whose sections are made on the way; `origin` is what an error will name."""
        self.data = replaced(self.data, path, value)
        self.forget(path)
        self.origins[path] = origin

    def drop(self, path: KeyPath) -> None:
        """Removes a key, if it is there."""
        parent = self.get(path[:-1])
        if isinstance(parent, dict) and path[-1] in parent:
            rest = {key: value for key, value in parent.items() if key != path[-1]}
            self.data = replaced(self.data, path[:-1], rest)
            self.forget(path)

    def forget(self, path: KeyPath) -> None:
        self.origins = {known: at for known, at in self.origins.items() if known[: len(path)] != path}


def replaced(data: Any, path: KeyPath, value: Any) -> Any:
    """A copy of nested dicts and tuples with `value` at `path`; None at a key of a free mapping means "not set"."""
    if not path:
        return value
    head, rest = path[0], path[1:]
    if isinstance(data, tuple) and isinstance(head, int):
        return tuple(replaced(item, rest, value) if i == head else item for i, item in enumerate(data))
    inner = data if isinstance(data, dict) else {}
    return {**inner, head: replaced(inner.get(head), rest, value)}


def _position(finding: Finding) -> tuple[int, int]:
    line = finding.where.rpartition(":")[2]
    return (0, int(line)) if line.isdigit() else (1, 0)


def read(file: Path) -> Source:
    """Reads one YAML mapping. Repeated and odd keys become findings; what is not YAML at all raises ScenarioError."""
    source = Source(file)
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ScenarioError(f"{file}: cannot be read: {reason}") from error
    yaml = YAML(typ="safe", pure=True)
    try:
        root = yaml.compose(text)
        if not isinstance(root, MappingNode):
            found = "is empty" if root is None or not text.strip() else "is not a mapping"
            raise ScenarioError(f"{file}:1: {found}, expected a mapping such as 'workload: {{name: clicks}}'")
        source.data = _Walk(source, yaml.constructor).mapping(root, ())
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ScenarioError(f"{file}:{line}: not valid YAML: {error.problem or error.context}") from error
    except YAMLError as error:
        raise ScenarioError(f"{file}:1: not valid YAML: {error}") from error
    return source


def read_value(text: str) -> Any:
    """The value of an option as YAML reads it: `6`, `all`, `[1, 2]`, `none`. ValueError if it is not YAML."""
    source = Source(Path("option"))
    yaml = YAML(typ="safe", pure=True)
    try:
        root = yaml.compose(text)
        value = None if root is None else _Walk(source, yaml.constructor).value(root, ())
    except YAMLError as error:
        raise ValueError("the value is not valid YAML") from error
    if source.findings:
        raise ValueError(source.findings[0].text)
    return value


_PLAIN = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")


class _Walk:
    """From YAML nodes to plain data, noting the line of each path. Nodes, because a loader forgets repeated keys."""

    def __init__(self, source: Source, constructor: SafeConstructor) -> None:
        self.source = source
        self.constructor = constructor
        self.open: list[Node] = []  # the nodes being walked: an alias to one of them never ends

    def value(self, node: Node, path: KeyPath) -> Any:
        if node in self.open:
            self.source.blame(path, "contains itself through an alias")
            return None
        self.open.append(node)
        try:
            if not isinstance(node, ScalarNode) and node.tag not in _PLAIN:
                self.source.blame(path, f"has the tag {node.tag}, expected plain YAML")
                return None
            if isinstance(node, MappingNode):
                return self.mapping(node, path)
            if isinstance(node, SequenceNode):
                return tuple(self.item(child, (*path, i)) for i, child in enumerate(node.value))
            return self.scalar(node, path)
        finally:
            self.open.pop()

    def item(self, node: Node, path: KeyPath) -> Any:
        self.source.origins[path] = f"{self.source.file}:{node.start_mark.line + 1}"
        return self.value(node, path)

    def mapping(self, node: MappingNode, path: KeyPath) -> dict[str, Any]:
        result: dict[str, Any] = {}
        first: dict[str, int] = {}
        for key_node, value_node in self.pairs(node):
            line = key_node.start_mark.line + 1
            written = str(key_node.value) if isinstance(key_node, ScalarNode) else "?"
            key = written.encode(errors="backslashreplace").decode()
            here = (*path, key)
            if key in first:
                self.source.findings.append(
                    Finding(
                        f"{self.source.file}:{line}",
                        here,
                        f"is given twice, expected once (first on line {first[key]})",
                    )
                )
                continue
            first[key] = line
            self.source.origins[here] = f"{self.source.file}:{line}"
            if not isinstance(key_node, ScalarNode):
                self.source.blame(here, "a key is a list or a mapping, expected a word")
                continue
            result[key] = self.value(value_node, here)
        return result

    def pairs(self, node: MappingNode) -> Iterator[tuple[Node, Node]]:
        """The entries; `<<: *anchor` adds those of the anchored mapping that are not given here."""
        own = {key.value for key, _ in node.value if isinstance(key, ScalarNode)}
        for key, value in node.value:
            if key.tag != "tag:yaml.org,2002:merge":
                yield key, value
                continue
            for merged in value.value if isinstance(value, SequenceNode) else [value]:
                if isinstance(merged, MappingNode) and merged not in self.open:
                    yield from ((k, v) for k, v in self.pairs(merged) if k.value not in own)

    def scalar(self, node: Node, path: KeyPath) -> Any:
        try:
            value = self.constructor.construct_object(node)
            str(value).encode()  # half a surrogate pair ("\\ud800") is no text anybody can store
        except (ValueError, LookupError, TypeError, AttributeError):  # how ruamel says that `!!int six` is none
            self.source.blame(path, f"'{node.value}' is not text, or not what its tag says, expected plain YAML")
            return None
        if isinstance(value, float) and value.is_integer() and "." not in str(node.value):
            return int(value)  # 1e6 is how people write a million events
        return value
