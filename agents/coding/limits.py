"""When a usage limit ends, and that a service is not reached, from what a coding agent says."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

#: seconds to wait where nothing says when the limit ends
UNSAID = 900.0

_IS_LIMIT = re.compile(
    r"(?:usage|session|weekly|5-hour|rate|quota|spending|request)[ _-]?limit"
    r"|hit your (?:[\w-]+ )?limit|out of (?:extra )?usage|quota exceeded"
    r"|exceeded your current quota|exhausted your (?:capacity|daily quota|quota)"
    r"|RESOURCE_EXHAUSTED|too many requests|(?:status|code|http|error)\W{0,4}429\b"
    r"|insufficient_quota|rate_limit",
    re.IGNORECASE,
)
_IS_UNREACHABLE = re.compile(
    r"\b(?:ECONN(?:REFUSED|RESET|ABORTED)|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|E(?:HOST|NET)UNREACH"
    r"|EPIPE|UND_ERR_\w+|ConnectionRefused|FailedToOpenSocket|ERR_NETWORK)\b"
    r"|\b(?:fetch|request|connection|socket|network) (?:error|failed|refused|reset|timed out)\b"
    r"|(?:unable|failed|cannot|could not|couldn.t) (?:to )?(?:connect|reach|resolve)\b"
    r"|error sending request|stream disconnected|dns error|name resolution|no internet"
    r"|overloaded(?:_error)?\b|service unavailable|bad gateway|gateway time-?out"
    r"|(?:status|code|http|error)\W{0,4}(?:502|503|504|529)\b",
    re.IGNORECASE,
)
_EPOCH = re.compile(r"(?:\||resets?[ _]?at\W{1,4}|reset\W{1,3})(\d{10})(?:\d{3})?\b", re.IGNORECASE)
_ISO = re.compile(r"\b(\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)")
_UNITS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_SPAN = re.compile(
    r"(\d+(?:\.\d+)?)\s*(ms|d(?:ays?)?|h(?:ours?|rs?)?|m(?:in(?:ute)?s?)?|s(?:ec(?:ond)?s?)?)"
    r"(?![a-z])",
    re.IGNORECASE,
)
_AFTER = re.compile(
    r"(?:try again|retry|reset(?:s|ting)?|available|renews?)\s+(?:in|after)\s+(?P<span>.*\d.*)",
    re.IGNORECASE,
)
_SECONDS = re.compile(r"retry[-_ ]?after\W{1,4}(\d+(?:\.\d+)?)", re.IGNORECASE)
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_CLOCK = re.compile(
    r"(?:resets?|try again|available(?: again)?)\s+(?:at\s+|on\s+)?"
    r"(?:(?P<month>[A-Z][a-z]{2})[a-z]*\.?\s+(?P<day>\d{1,2})(?:st|nd|rd|th)?"
    r"(?:,?\s+(?P<year>\d{4}))?,?\s+(?:at\s+)?)?"
    r"(?P<hour>\d{1,2})(?::(?P<minute>\d\d))?\s*(?P<half>[ap]\.?m\.?)?"
    r"(?:\s*\((?P<zone>[A-Za-z_+\-/0-9]+)\))?",
    re.IGNORECASE,
)


def is_limit(text: str) -> bool:
    """Whether a message says that a usage limit or a quota is used up."""
    return _IS_LIMIT.search(text) is not None


def is_unreachable(text: str) -> bool:
    """Whether a message says that the service was not reached, or cannot answer anybody."""
    return _IS_UNREACHABLE.search(text) is not None


def reset_time(text: str, now: float) -> float | None:
    """When the limit of a message ends (seconds since the epoch); None if it does not say so.

    Understands absolute times (epoch, ISO 8601), spans ("in 3 h 5 m", "retry-after: 30") and
    clock times ("resets 2:26am (UTC)", "try again at Dec 3rd, 2026 2:31 AM"), which are local
    times unless a zone is named.
    """
    if found := _EPOCH.search(text):
        return float(found[1])
    if found := _ISO.search(text):
        at = datetime.fromisoformat(found[1])
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    if found := _SECONDS.search(text):
        return now + float(found[1])
    if found := _AFTER.search(text):
        spans = _SPAN.findall(found["span"])
        seconds = sum(
            float(n) * (0.001 if u.lower() == "ms" else _UNITS[u[0].lower()]) for n, u in spans
        )
        if spans:
            return now + seconds
    return _clock_time(text, now)


def _clock_time(text: str, now: float) -> float | None:
    found = _CLOCK.search(text)
    if found is None or not (found["half"] or found["minute"]):
        return None
    here = datetime.fromtimestamp(now, _zone(found["zone"]))
    hour, minute = int(found["hour"]), int(found["minute"] or 0)
    if found["half"]:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if found["half"].lower().startswith("p") else 0)
    try:
        at = here.replace(hour=hour, minute=minute, second=0, microsecond=0)
        if found["month"]:
            month = _MONTHS.index(found["month"].lower()) + 1
            at = at.replace(
                year=int(found["year"] or here.year), month=month, day=int(found["day"])
            )
            if not found["year"] and at < here - timedelta(days=1):
                at = at.replace(year=here.year + 1)
        elif at <= here:
            at += timedelta(days=1)
    except ValueError:
        return None
    return at.timestamp()


def _zone(name: str | None) -> tzinfo | None:
    """The zone of a name; None, which is the local one, for an unknown one."""
    if name is None:
        return None
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        return None
