"""Keys of a scenario that are Flink options: which option a key sets is said once, where the key is declared.

    buffer_timeout_ms: Annotated[NotNegative | None, Sets("execution.buffer-timeout.interval", "ms")] = None

That line is all there is to another setting: it can be an axis, reaches the job or its cluster, cannot also be said raw
(`pipeline.flink`), and is read back from Flink after the run where Flink tells it (`bench.trial.readback`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

ROUNDING = 1e-6  # of binary fractions: 0.29 s are 290.00000000000006 ms


@dataclass(frozen=True)
class Sets:
    """The option that a key sets. `scale`: its units in one of the key's (a key in s, an option in ms: 1000)."""

    option: str
    unit: str = ""
    scale: float = 1.0
    of_cluster: bool = False  # of the session cluster's configuration: trials that differ in it need clusters apart
    beside: tuple[tuple[str, str], ...] = ()  # options without which it would do nothing, with their values

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._whole, handler(source))

    def _whole(self, value: Any) -> Any:
        """Flink's numbers are whole ones: half a millisecond would become 0, which mostly means another thing."""
        if isinstance(value, float) and abs(value * self.scale - round(value * self.scale)) > ROUNDING:
            raise ValueError(f"was {value:g}, expected a whole number of {self.unit}, as Flink's {self.option} is")
        return value

    def text(self, value: Any) -> str:
        """`value` as Flink reads it."""
        if isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, int | float):
            return f"{round(value * self.scale)} {self.unit}".rstrip()
        return str(value)


def declared(model: type[BaseModel], path: str) -> Iterator[tuple[str, Sets]]:
    """(key, what it sets) of a section and the sections in it."""
    for name, info in model.model_fields.items():
        yield from ((f"{path}.{name}", one) for one in info.metadata if isinstance(one, Sets))
        yield from (found for model in _sections(info.annotation) for found in declared(model, f"{path}.{name}"))


def _sections(annotation: Any) -> Iterator[type[BaseModel]]:
    """The section that a key holds, also where it may be none."""
    for one in (annotation, *get_args(annotation)):
        if isinstance(one, type) and issubclass(one, BaseModel):
            yield one


def options(section: BaseModel, *, of_cluster: bool) -> dict[str, str]:
    """Option -> text, of every key that is not at its default. A default sets nothing: Flink's own counts."""
    found: dict[str, str] = {}
    for name, info in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            found |= options(value, of_cluster=of_cluster)
        for one in info.metadata:
            if isinstance(one, Sets) and one.of_cluster == of_cluster and value != info.default:
                found |= {one.option: one.text(value), **dict(one.beside)}
    return found
