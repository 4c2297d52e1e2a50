"""The links under a list."""

from dataclasses import dataclass

from django.http import QueryDict


@dataclass(frozen=True, slots=True)
class Pager:
    """Where a page lies in its list, and the links to its neighbours; empty where there is none."""

    query: QueryDict
    total: int
    offset: int
    limit: int

    @property
    def first(self) -> int:
        """The number of the first row shown, from 1; 0 in an empty list."""
        return min(self.total, self.offset + 1)

    @property
    def last(self) -> int:
        """The number of the last row shown."""
        return min(self.total, self.offset + self.limit)

    @property
    def page(self) -> int:
        """The page's number, from 1."""
        return self.offset // self.limit + 1

    @property
    def previous_url(self) -> str:
        """The page before."""
        return self._url(self.offset // self.limit) if self.offset else ""

    @property
    def next_url(self) -> str:
        """The page after."""
        return self._url(self.offset // self.limit + 2) if self.last < self.total else ""

    def _url(self, page: int) -> str:
        link = self.query.copy()
        link.pop("focus", None)
        link["page"] = str(page)
        return "?" + link.urlencode()
