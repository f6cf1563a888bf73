"""Settings of the web board: who may look, who may answer, and under which address."""

from __future__ import annotations

import re
from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

Role = Literal["reader", "approver"]


class WebUser(BaseModel):
    """`[web.users.NAME]`: who may sign in."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    #: an argon2 hash, as `orchestrate serve --add-user NAME` prints it; "": only by the proxy
    password: SecretStr = SecretStr("")
    #: a reader sees everything and answers nothing
    role: Role = "reader"

    @field_validator("password")
    @classmethod
    def _is_hashed(cls, password: SecretStr) -> SecretStr:
        text = password.get_secret_value()
        if text and not text.startswith("$argon2id$"):
            raise ValueError("not an argon2id hash; `orchestrate serve --add-user NAME` makes one")
        return password


class WebSettings(BaseModel):
    """`[web]`: the board in the browser."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    #: under which address people reach it, for links in notifications: `https://board.example`
    url: str = ""
    #: hours for which such a link may be used
    link_hours: float = Field(default=72.0, gt=0, le=24 * 90)
    #: the header in which a reverse proxy on this machine names who has signed in
    user_header: str = ""
    users: dict[str, WebUser] = Field(default_factory=dict)

    @field_validator("url")
    @classmethod
    def _is_address(cls, url: str) -> str:
        parts = urlsplit(url)
        if url and (parts.scheme not in ("http", "https") or not parts.hostname or parts.query):
            raise ValueError(f"{url!r} is not an address such as https://board.example")
        return url.rstrip("/")

    @field_validator("user_header")
    @classmethod
    def _is_header(cls, name: str) -> str:
        if name and not re.fullmatch(r"[A-Za-z0-9-]+", name):
            raise ValueError(f"{name!r} is not a name of a header")
        return name.lower()
