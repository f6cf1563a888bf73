"""Which license texts allow free use: an allow-list, and every word that takes it back."""

from __future__ import annotations

import re
from enum import StrEnum


class LicenseStatus(StrEnum):
    """What a license cell says about free use."""

    OPEN = "open"
    #: it names no license of the allow-list ("Open Access", "Published", blank)
    UNNAMED = "names no open license"
    #: it names one, or none, and takes it back ("not open", "unconfirmed", NC, ND)
    DOUBTFUL = "closed or in doubt"


_OPEN = re.compile(
    r"""\bCC[ -]?0\b | \bCC[ -]BY(?:[ -]SA)?(?:[ -]\d(?:\.\d)?)?\b | \bODC[ -]?BY\b | \bODbL\b
      | \bPDDL\b | \bpublic[ ]domain\b | \bOpen[ ]Government[ ]Licen[cs]e\b | \bOGL\b
      | \bCreative[ ]Commons[ ](?:Zero|Attribution(?:[ -]ShareAlike)?)\b
      | \bOpen[ ]Data[ ]Commons[ ](?:Attribution|Open[ ]Database)\b | \bCDLA[ -]Permissive\b""",
    re.IGNORECASE | re.VERBOSE,
)
_TAKEN_BACK = re.compile(
    r"""\b(?:not|no|non|without|never|neither|nor|isn.t|except|excluding|unless|only[ ]if)\b
      | \b(?:unconfirmed|unverified|unknown|unclear|uncertain|unproven|doubtful|disputed|pending
           |presumably|probably|assumed|allegedly|tbd|tbc|to[ ]be[ ]confirmed)\b | \?
      | \b(?:paywall(?:ed)?|subscription|proprietary|closed|restricted|embargo(?:ed)?|copyrighted)\b
      | \ball[ ]rights[ ]reserved\b | \bfree[ ]to[ ]read\b | \bpermission\b
      | \bnon-?commercial\b | \bno-?deriv\w*\b | \b[- ]?(?:NC|ND)\b""",
    re.IGNORECASE | re.VERBOSE,
)


def license_status(text: str) -> LicenseStatus:
    """What a license text says; any doubt in it outweighs a license that it names."""
    if _TAKEN_BACK.search(text):
        return LicenseStatus.DOUBTFUL
    return LicenseStatus.OPEN if _OPEN.search(text) else LicenseStatus.UNNAMED
