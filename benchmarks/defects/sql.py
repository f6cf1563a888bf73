"""Defects and harmless changes of the migration."""

from __future__ import annotations

import re

from defects import Site, defect, harmless


@defect("sql.rls-missing")
def rls_missing(site: Site) -> None:
    """One table is left open."""
    site.edit(site.migration, lambda text: re.sub(r"(?im)^alter table.*enable row.*$", "", text, count=1))


@harmless("sql.comment-first")
def comment_first(site: Site) -> None:
    """Another comment at the head."""
    site.edit(site.migration, lambda text: "-- reviewed twice\n" + text)
