"""Reads settings into dataclasses: one section each, from TOML and from ``MBONGI_<SECTION>_<KEY>`` variables."""

import tomllib
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from mbongi.base.config_limits import require_sense
from mbongi.base.errors import ConfigError

_T = TypeVar("_T")


def read_toml(path: Path) -> dict[str, Any]:
    """A file's document. Raises ConfigError."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}; mend that line") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}; mend its owner or mode") from error


def build(whole: type[_T], document: Mapping[str, Any], source: str, environ: Mapping[str, str]) -> _T:
    """The configuration of type ``whole`` from a document read from ``source`` and the environment, which wins.

    Each field of ``whole`` is a section, a frozen dataclass; fields that neither names keep their default. Raises
    ConfigError naming the file or variable, the key, what was found and what is expected.
    """
    sections = typing.get_type_hints(whole)
    for name, table in document.items():
        if name not in sections:
            raise ConfigError(f"{source}: [{name}]: no such section; known: {', '.join(sections)}")
        if not isinstance(table, dict):
            raise ConfigError(f"{source}: {name}: found {table!r}; expected a section [{name}]")
    known_variables: set[str] = {"MBONGI_CONFIG"}
    parts: dict[str, Any] = {}
    for name, part in sections.items():
        parts[name] = _section(name, part, document.get(name, {}), source, environ, known_variables)
    _refuse_unknown_variables(environ, sections, known_variables)
    return whole(**parts)


def _refuse_unknown_variables(environ: Mapping[str, str], sections: Mapping[str, type], known: set[str]) -> None:
    """A misspelt variable would otherwise be a setting that silently does nothing."""
    for variable in environ:
        section = variable.removeprefix("MBONGI_").partition("_")[0].lower()
        if variable.startswith("MBONGI_") and section in sections and variable not in known:
            keys = ", ".join(sorted(name for name in known if name.startswith(f"MBONGI_{section.upper()}_")))
            raise ConfigError(f"{variable}: no such variable; known: {keys}")


def _section(
    name: str, part: type, table: Mapping[str, Any], source: str, environ: Mapping[str, str], known: set[str]
) -> Any:
    kinds = typing.get_type_hints(part)
    for key in table:
        if key not in kinds:
            raise ConfigError(f"{source}: {name}.{key}: no such key; known: {', '.join(kinds)}")
    values: dict[str, Any] = {}
    for key, kind in kinds.items():
        variable = f"MBONGI_{name}_{key}".upper()
        known.add(variable)
        if variable in environ:
            values[key] = _from_text(environ[variable], kind, variable)
            require_sense(values[key], name, key, variable)
        elif key in table:
            where = f"{source}: {name}.{key}"
            values[key] = _checked(table[key], kind, where)
            require_sense(values[key], name, key, where)
    return part(**values)


_TRUTHS = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}


def _from_text(text: str, kind: Any, where: str) -> Any:
    if typing.get_origin(kind) is tuple:
        return tuple(piece.strip() for piece in text.split(",") if piece.strip())
    if kind is bool:
        if text.lower() not in _TRUTHS:
            raise ConfigError(f"{where}: found {text!r}; expected true or false")
        return _TRUTHS[text.lower()]
    if kind in {int, float}:
        try:
            return kind(text)
        except ValueError as error:
            expected = "a whole number" if kind is int else "a number"
            raise ConfigError(f"{where}: found {text!r}; expected {expected}") from error
    return _checked(text, kind, where)


def _checked(value: Any, kind: Any, where: str) -> Any:
    origin = typing.get_origin(kind)
    if origin is Literal:
        choices = typing.get_args(kind)
        if value not in choices:
            raise ConfigError(f"{where}: found {value!r}; expected one of {', '.join(map(repr, choices))}")
        return value
    if origin is tuple:
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise ConfigError(f'{where}: found {value!r}; expected a list of texts such as ["10.20.0.0/20"]')
        return tuple(value)
    if kind is Path and isinstance(value, str):
        return Path(value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(kind, types.GenericAlias) and type(value) is not kind:
        raise ConfigError(f"{where}: found {value!r}; expected {_word(kind)}")
    return value


def _word(kind: Any) -> str:
    return {int: "a whole number", float: "a number", bool: "true or false", str: "a text", Path: "a path"}.get(
        kind, str(kind)
    )
