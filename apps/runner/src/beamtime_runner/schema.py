"""Checks JSON against the schemas generated from `libs/contracts`, and says what is wrong by the field's name."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import Any

from .refusals import Refused

_BRANCHES = ("oneOf", "anyOf")
_DISCRIMINATORS = ("kind", "task")


@cache
def load_schema(name: str) -> dict[str, Any]:
    return json.loads((resources.files("beamtime_runner") / "schemas" / name).read_text(encoding="utf-8"))


@cache
def _validator(name: str, definition: str | None) -> Any:
    from jsonschema import Draft202012Validator

    schema = load_schema(name)
    return Draft202012Validator(schema["$defs"][definition] if definition else schema)


def check(value: Any, name: str, definition: str | None = None, code: str = "bad-job") -> None:
    """Raises `Refused` with the first fault found; returns when the value fits."""
    fault = next(iter(sorted(_validator(name, definition).iter_errors(value), key=_where)), None)
    if fault is not None:
        field, detail = _explain(fault)
        raise Refused(code, f"{field or 'the file'}: {detail}", field or None)


def _where(fault: Any) -> list[str]:
    return [str(part) for part in fault.absolute_path]


def _explain(fault: Any) -> tuple[str, str]:
    if fault.validator in _BRANCHES and fault.context:
        return _explain(_nearest_branch(fault))
    field = ".".join(_where(fault))
    if fault.validator == "additionalProperties":
        known = set(fault.schema.get("properties", {}))
        unknown = next(name for name in fault.instance if name not in known)
        return (f"{field}.{unknown}".lstrip("."), "there is no such field")
    if fault.validator == "required":
        missing = next(name for name in fault.validator_value if name not in fault.instance)
        return (f"{field}.{missing}".lstrip("."), "is missing")
    if fault.validator == "enum":
        return (
            field,
            f"is {_short(fault.instance)}, and must be one of {', '.join(map(str, fault.validator_value))}",
        )
    if fault.validator == "pattern":
        hint = fault.schema.get("description")
        return field, f"is {_short(fault.instance)}, which does not fit{f' ({hint})' if hint else ''}"
    return field, str(fault.message)[:300]


def _nearest_branch(fault: Any) -> Any:
    """Of the alternatives, the one whose discriminator fits (or else the one with the fewest faults)."""
    branches: dict[Any, list[Any]] = {}
    for inner in fault.context:
        branches.setdefault(inner.schema_path[0], []).append(inner)

    def badness(faults: list[Any]) -> tuple[bool, bool, int]:
        wrong_kind = any(
            inner.validator in ("const", "enum") and inner.path and inner.path[-1] in _DISCRIMINATORS
            for inner in faults
        )
        wrong_type = any(inner.validator == "type" and not inner.path for inner in faults)
        return wrong_kind, wrong_type, len(faults)

    best = min(branches.values(), key=badness)
    if badness(best)[0]:
        return _unknown_kind(best, branches)
    return min(best, key=_where)


def _unknown_kind(best: list[Any], branches: dict[Any, list[Any]]) -> Any:
    """No alternative has this discriminator: name all that exist."""
    first = next(inner for inner in best if inner.path and inner.path[-1] in _DISCRIMINATORS)
    names: list[str] = []
    for faults in branches.values():
        for inner in faults:
            if inner.path and inner.path[-1] in _DISCRIMINATORS:
                names += inner.validator_value if inner.validator == "enum" else [inner.validator_value]
    first.validator, first.validator_value = "enum", names
    return first


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:77]}…"
