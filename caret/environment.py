"""Reads settings from environment variables, and says in one line what is wrong with the first wrong one."""

import os
from typing import Any, Literal, Self, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo

from caret.setting_types import range_of

PREFIX = "CARET_"
TEST_PREFIX = "CARET_TEST_"
"""Variables of the test suite, which are no settings."""


class SettingsError(Exception):
    """One clear line about a wrong setting."""


def variable_of(field_name: str) -> str:
    return f"{PREFIX}{field_name.upper()}"


class EnvironmentSettings(BaseModel):
    """Fields that are read from `CARET_` and their names in capitals. An empty variable counts as unset."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def load(cls) -> Self:
        """The settings of this process. Raises SettingsError with one line for the first that is wrong."""
        variables = {name: variables_of(name, field) for name, field in cls.model_fields.items()}
        _refuse_unknown({variable_of(name) for name in variables})
        texts = {
            name: next((text for each in names if (text := os.environ.get(each))), "")
            for name, names in variables.items()
        }
        try:
            return cls.model_validate({name: text for name, text in texts.items() if text})
        except ValidationError as error:
            raise SettingsError(_message(cls, error)) from None


def variables_of(name: str, field: FieldInfo) -> tuple[str, ...]:
    """The variables that are read for a setting, the most important first."""
    extra = field.json_schema_extra
    aliases: Any = extra["aliases"] if isinstance(extra, dict) else ()
    return (variable_of(name), *aliases)


def _refuse_unknown(known: set[str]) -> None:
    for name in sorted(os.environ):
        # In another case too: a name that is not read must not look as if it were.
        if name.upper().startswith(PREFIX) and name not in known and not name.startswith(TEST_PREFIX):
            raise SettingsError(f"{name}: there is no such setting.")


def _message(cls: type[EnvironmentSettings], error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    message = first["msg"].removeprefix("Value error, ")
    # A message about several settings names them itself.
    if not first["loc"]:
        return message
    name = str(first["loc"][0])
    own = first["type"] == "value_error"
    return f"{variable_of(name)}: {message if own else _expectation(cls.model_fields[name]) or message}."


def _expectation(field: FieldInfo) -> str:
    """What the value of a setting must be, where that can be said better than pydantic does."""
    kinds = {kind for kind in (field.annotation, *get_args(field.annotation)) if kind is not type(None)}
    if bool in kinds:
        return "must be 0 or 1"
    if get_origin(field.annotation) is Literal:
        return f"must be one of {', '.join(get_args(field.annotation))}"
    if kinds & {int, float} and (allowed := range_of(field)):
        return f"must be {'a whole number' if int in kinds else 'a number'} {allowed}"
    return ""
