"""Which places count as sources of a figure: what was published, and where others find it again."""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum
from urllib.parse import parse_qsl, urlsplit

DOI = re.compile(r"10\.\d{4,9}/[^\s\"<>]*[^\s\"<>.,;)]", re.ASCII)
_DOI_ALONE = re.compile(
    rf"(?:doi:\s*|https?://(?:dx\.)?doi\.org/)?({DOI.pattern})", re.ASCII | re.IGNORECASE
)
_REGISTERED = re.compile(
    r"NCT\d{8}|PMC\d{3,9}|PMID:? ?\d{3,9}|ISRCTN\d{8}|EudraCT:? ?\d{4}-\d{6}-\d\d|CRD\d{8,11}",
    re.ASCII,
)
#: groups of the setting `facts.sources` → domains, with all below them
GROUPS: dict[str, frozenset[str]] = {
    "doi": frozenset(("doi.org",)),
    "registry": frozenset(
        (
            *("clinicaltrials.gov", "ncbi.nlm.nih.gov", "isrctn.com", "who.int", "europepmc.org"),
            *("clinicaltrialsregister.eu", "zenodo.org", "osf.io", "crd.york.ac.uk", "gov"),
            *("gov.uk", "gov.au", "gc.ca", "europa.eu", "oecd.org", "worldbank.org", "destatis.de"),
        )
    ),
    "publisher": frozenset(
        (
            *(
                "nature.com",
                "nejm.org",
                "jamanetwork.com",
                "ama-assn.org",
                "thelancet.com",
                "bmj.com",
            ),
            *("sciencedirect.com", "springer.com", "wiley.com", "oup.com", "plos.org", "cell.com"),
            *("frontiersin.org", "mdpi.com", "tandfonline.com", "science.org", "pnas.org"),
            *("psychiatryonline.org", "sagepub.com", "cambridge.org", "cochranelibrary.com"),
            *(
                "biomedcentral.com",
                "lww.com",
                "karger.com",
                "elifesciences.org",
                "ieee.org",
                "acm.org",
            ),
            *(
                "acs.org",
                "rsc.org",
                "arxiv.org",
                "medrxiv.org",
                "biorxiv.org",
                "jstor.org",
                "apa.org",
            ),
        )
    ),
}
DEFAULT_KINDS = tuple(GROUPS)
#: where anybody writes anything, where an answer is made up, what leads anywhere
_REFUSED = frozenset(
    (
        *(
            "chatgpt.com",
            "openai.com",
            "claude.ai",
            "anthropic.com",
            "gemini.google.com",
            "poe.com",
        ),
        *("bard.google.com", "copilot.microsoft.com", "perplexity.ai", "deepseek.com", "grok.com"),
        *(
            "mistral.ai",
            "you.com",
            "phind.com",
            "huggingface.co",
            "character.ai",
            "meta.ai",
            "x.ai",
        ),
        *("reddit.com", "x.com", "twitter.com", "facebook.com", "instagram.com", "tiktok.com"),
        *(
            "youtube.com",
            "linkedin.com",
            "quora.com",
            "medium.com",
            "substack.com",
            "t.me",
            "slack.com",
        ),
        *("discord.com", "discord.gg", "stackexchange.com", "stackoverflow.com", "pastebin.com"),
        *("docs.google.com", "drive.google.com", "dropbox.com", "notion.so", "notion.site"),
        *(
            "wikipedia.org",
            "fandom.com",
            "gist.github.com",
            "bit.ly",
            "t.co",
            "tinyurl.com",
            "goo.gl",
        ),
        *("google.com", "bing.com", "duckduckgo.com", "yandex.com", "yandex.ru", "baidu.com"),
        *("search.brave.com", "ecosia.org", "startpage.com", "kagi.com", "semanticscholar.org"),
    )
)
_NOWHERE = re.compile(r"(?:^|\.)(?:example\.\w+|example|localhost|invalid|test|local|internal)$")
_STAGING = re.compile(r"(?:^|[.-])(?:staging|stage|dev|uat|preview|preprod|sandbox)(?:[.-]|$)")
_SEARCH = re.compile(r"(?:^|/)(?:search|find|results|suche|scholar)(?:[/.]|$)", re.IGNORECASE)
_ASKED = frozenset(("q", "query", "term", "search", "keyword", "keywords", "s"))


class SourceKind(StrEnum):
    """What a place is worth as a source."""

    #: of a kind that the workspace allows
    ALLOWED = "allowed"
    #: a page that others can read, of no kind that the workspace allows
    OTHER = "other"
    #: nothing that is published, or that says the same to everybody
    NONE = "none"


def source_kind(source: str, allowed: Iterable[str] = DEFAULT_KINDS) -> SourceKind:
    """What a source is. `allowed` are groups (`doi`, `registry`, `publisher`) and domains."""
    text, kinds = source.strip(), tuple(allowed)
    bare = text[4:].strip() if text.lower().startswith("doi:") else text
    if DOI.fullmatch(bare):
        return _of(kinds, "doi")
    if _REGISTERED.fullmatch(text):
        return _of(kinds, "registry")
    if not text.lower().startswith(("http://", "https://")) or " " in text:
        return SourceKind.NONE
    try:
        parts = urlsplit(text)
    except ValueError:
        return SourceKind.NONE
    host = (parts.hostname or "").lower().rstrip(".")
    if "." not in host or _NOWHERE.search(host) or re.fullmatch(r"[\d.]+", host):
        return SourceKind.NONE
    if _is_below(host, kinds):
        return SourceKind.ALLOWED
    asked = {name.lower() for name, _ in parse_qsl(parts.query)} & _ASKED
    if _is_below(host, _REFUSED) or asked or _SEARCH.search(parts.path):
        return SourceKind.NONE
    groups = [GROUPS[kind] for kind in kinds if kind in GROUPS]
    return SourceKind.ALLOWED if any(_is_below(host, g) for g in groups) else SourceKind.OTHER


def is_staging(source: str) -> bool:
    """Whether an address is on a host for trying out pages, which may go or change unannounced."""
    address = re.match(r"https?://([^/?#:]+)\.[^./?#:]+\.\w+(?:[/?#:]|$)", source.strip().lower())
    return bool(address and _STAGING.search(address[1]))


def _of(kinds: Iterable[str], kind: str) -> SourceKind:
    return SourceKind.ALLOWED if kind in kinds else SourceKind.OTHER


def _is_below(host: str, domains: Iterable[str]) -> bool:
    return any(host == d or host.endswith(f".{d}") for d in domains)


def same_source(one: str, other: str) -> bool:
    """Whether two texts name the same place, however they write a DOI or an address."""
    return _plain(one) == _plain(other)


def _plain(source: str) -> str:
    text = source.strip()
    if found := _DOI_ALONE.fullmatch(text):
        return found[1].lower()
    return re.sub(r"^https?://(?:www\.)?", "", text).rstrip("/")
