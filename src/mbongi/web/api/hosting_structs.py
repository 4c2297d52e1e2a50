"""What the API takes and gives of hosting: contracts, excuses, statements.

Money is whole minor units of its currency, shares are millionths, hash-hours thousandths of TH/s·h, energy is Wh, time
is seconds: whole numbers, so that sums are exact.
"""

from datetime import date, datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from mbongi.fleet.rules.hosting_bill import Sums
from mbongi.fleet.rules.hosting_terms import ExcuseClass, Terms
from mbongi.fleet.statement_document import Document
from mbongi.fleet.values import ProfileState

Reason = Annotated[str, Meta(min_length=1, max_length=500, description="goes into the ledger")]
Number = Annotated[int, Meta(ge=1, le=2147483647)]


class HostingContract(msgspec.Struct, kw_only=True):
    """A contract; ``terms`` are those of its newest approved version, null before there is one."""

    id: int
    name: str
    tenant_id: int
    tenant: str
    version: int | None
    proposed: Annotated[int | None, Meta(description="the version that a second person must decide on")]
    terms: Terms | None


class HostingContractList(msgspec.Struct, kw_only=True):
    """Every contract that the caller may see."""

    items: list[HostingContract]


class TermChange(msgspec.Struct, kw_only=True):
    """A field that differs from the version that was approved before."""

    field: str
    before: Any
    after: Any


class HostingVersion(msgspec.Struct, kw_only=True):
    """One version of a contract."""

    id: int
    contract_id: int
    number: int
    terms: Terms
    state: ProfileState
    reason: str
    author: str
    written_at: datetime
    decider: str
    decided_at: datetime | None
    decision: str
    changes: list[TermChange]


class HostingVersionList(msgspec.Struct, kw_only=True):
    """A contract's versions, newest first."""

    items: list[HostingVersion]


class HostingContractRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A contract with its first version."""

    tenant_id: Number
    name: Annotated[str, Meta(min_length=1, max_length=60)]
    terms: Terms
    reason: Reason


class HostingVersionRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A new version of a contract."""

    terms: Terms
    reason: Reason


class HostingDecision(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Why something is approved or refused."""

    reason: Reason


class HostingDay(msgspec.Struct, kw_only=True):
    """A day at the site, of all machines of the contract together; null: before, after, or still to come."""

    day: date
    sums: Sums | None


class HostingMonth(msgspec.Struct, kw_only=True):
    """A contract's month as it is reckoned at ``at``; what was closed is a statement."""

    contract_id: int
    month: str
    at: datetime
    is_over: bool
    uptime_ppm: Annotated[int | None, Meta(description="millionths, rounded down; null: nothing was owed")]
    uptime_low_ppm: int | None
    uptime_high_ppm: int | None
    document: Annotated[Document | None, Meta(description="null: no approved version governs the month")]
    days: list[HostingDay]


class HostingExcuse(msgspec.Struct, kw_only=True, rename={"klass": "class"}):
    """Downtime that is excused: of these machines, else of the contract, else of the hall, else of the whole site."""

    id: int
    klass: ExcuseClass
    since: datetime
    until: datetime
    machine_ids: list[int]
    contract_id: int | None
    hall: int | None
    note: str
    evidence: str
    state: ProfileState
    author: str
    entered_at: datetime
    decider: str
    decided_at: datetime | None
    decision: str


class HostingExcuseList(msgspec.Struct, kw_only=True):
    """Excuses, newest first."""

    items: list[HostingExcuse]


class HostingExcuseRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, rename={"klass": "class"}):
    """An excuse to be agreed to by somebody else; at most one of machines, contract and hall."""

    klass: ExcuseClass
    since: Annotated[datetime, Meta(tz=True)]
    until: Annotated[datetime, Meta(tz=True)]
    note: Annotated[str, Meta(min_length=1, max_length=1000)]
    machine_ids: Annotated[list[Number], Meta(max_length=20_000)] = []
    contract_id: Number | None = None
    hall: Annotated[int, Meta(ge=0, le=32767)] | None = None
    evidence: Annotated[str, Meta(max_length=300)] = ""


class HostingStatement(msgspec.Struct, kw_only=True):
    """A closed month. ``newest`` False: a correction followed. Its PDF and sheet are pages, at ``files``."""

    id: int
    contract_id: int
    contract: str
    month: str
    version: int
    closed_at: datetime
    reason: str
    newest: bool
    sheet_sha256: str
    currency: str
    total_minor: int
    credit_minor: int
    uptime_ppm: int | None
    files: str


class HostingStatementFull(HostingStatement, kw_only=True):
    """A closed month with everything that it states."""

    document: Document


class HostingStatementList(msgspec.Struct, kw_only=True):
    """Statements, newest month first."""

    items: list[HostingStatement]


class HostingClosingRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Close a month: of these contracts, or of all that have no statement of it. A correction needs a reason."""

    month: Annotated[str, Meta(pattern=r"^2\d{3}-(0[1-9]|1[0-2])$")]
    contract_ids: Annotated[list[Number], Meta(min_length=1, max_length=5000)] | None = None
    reason: Annotated[str, Meta(max_length=500)] = ""


class HostingOutcome(msgspec.Struct, kw_only=True):
    """What became of one contract: its statement's number, or why there is none."""

    contract_id: int
    statement_id: int | None
    why: str


class HostingClosing(msgspec.Struct, kw_only=True):
    """The statements of a month being made."""

    id: int
    month: str
    contracts: list[int]
    done: list[HostingOutcome]
    author: str
    asked_at: datetime
    finished_at: datetime | None
