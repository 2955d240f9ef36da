"""The settings of this process, to be read: what is secret is only told to be set."""

from typing import Annotated

from pydantic import Field, SecretStr

from admin_api.api.ports import Ports
from admin_api.api.routing import AnyRoute, Route
from admin_api.api.schemas import Answer, Nothing
from bitloot.settings import Settings


class Setting(Answer):
    """One setting."""

    name: str
    value: Annotated[str | None, Field(description="Null where it is secret or not set")]
    secret: bool
    is_set: Annotated[bool, Field(description="Whether it has another value than by default")]
    description: str


class SettingList(Answer):
    """All settings of the admin API."""

    items: list[Setting]


def told(settings: Settings) -> tuple[Setting, ...]:
    """Return what may be told of settings."""
    return tuple(_setting(settings, name) for name in sorted(type(settings).model_fields))


def _setting(settings: Settings, name: str) -> Setting:
    value, declared = getattr(settings, name), type(settings).model_fields[name]
    secret = _is_secret(value) or "secret" in name or "token" in name.split("_") or name == "database_url"
    return Setting(
        name=name.upper(),
        value=None if secret or value is None else str(value),
        secret=secret,
        is_set=name in settings.model_fields_set,
        description=declared.description or "",
    )


def _is_secret(value: object) -> bool:
    return isinstance(value, SecretStr) or (isinstance(value, tuple) and any(map(_is_secret, value)))


async def list_settings(ports: Ports, _question: Nothing) -> SettingList:
    """Answer the settings."""
    return SettingList(items=list(ports.settings))


ROUTES: tuple[AnyRoute, ...] = (
    Route(
        method="GET",
        path="/admin/settings",
        name="listSettings",
        summary="Show how the admin API is set up, without secrets",
        tag="Settings",
        question=Nothing,
        answer=SettingList,
        handle=list_settings,
    ),
)
