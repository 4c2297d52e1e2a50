"""What the routes of hosting answer."""

from typing import Any

from mbongi.fleet import contracts, hosting_rows, hosting_wording, statements
from mbongi.fleet.errors import HostingRefusedError
from mbongi.fleet.hosting_rows import ClosingRow, ContractRow, ExcuseRow, StatementRow, VersionRow
from mbongi.web import filters, hosting_sight
from mbongi.web.api import hosting_structs as structs
from mbongi.web.api.views import Call
from mbongi.web.filters import QueryError


def hosting_contracts(_call: Call) -> structs.HostingContractList:
    """Every contract."""
    return structs.HostingContractList(items=[_contract(row) for row in hosting_rows.contracts()])


def hosting_contract(call: Call) -> structs.HostingContract:
    """One contract."""
    return _contract(hosting_rows.contract(call.number))


def add_hosting_contract(call: Call) -> structs.HostingVersion:
    """A contract with its first version."""
    wish: structs.HostingContractRequest = call.body
    return _version(contracts.add_contract(_user(call), wish.tenant_id, wish.name, wish.terms, reason=wish.reason))


def hosting_versions(call: Call) -> structs.HostingVersionList:
    """A contract's versions."""
    hosting_rows.contract(call.number)
    return structs.HostingVersionList(items=[_version(row) for row in hosting_rows.versions(call.number)])


def write_hosting_version(call: Call) -> structs.HostingVersion:
    """A new version."""
    return _version(contracts.write_version(_user(call), call.number, call.body.terms, reason=call.body.reason))


def approve_hosting_version(call: Call) -> structs.HostingVersion:
    """Let a proposed version govern."""
    return _version(contracts.approve_version(_user(call), call.number, reason=call.body.reason))


def refuse_hosting_version(call: Call) -> structs.HostingVersion:
    """Refuse a proposed version, or withdraw one's own."""
    return _version(contracts.refuse_version(_user(call), call.number, reason=call.body.reason))


def hosting_month(call: Call) -> structs.HostingMonth:
    """A contract's month as it is reckoned now."""
    found = hosting_sight.month_sight(call.number, _month(call, hosting_sight.this_month()), limit=0)
    sums = None if found.document is None else found.document.sums
    return structs.HostingMonth(
        contract_id=found.contract.id,
        month=found.month,
        at=found.now,
        is_over=found.is_over,
        uptime_ppm=None if sums is None else sums.uptime_ppm,
        uptime_low_ppm=None if sums is None else sums.uptime_low_ppm,
        uptime_high_ppm=None if sums is None else sums.uptime_high_ppm,
        document=found.document,
        days=[structs.HostingDay(day=each.day, sums=each.sums) for each in found.days],
    )


def hosting_excuses(call: Call) -> structs.HostingExcuseList:
    """Excuses, newest first."""
    part = filters.part_query(call.request.GET)
    rows = hosting_rows.excuses(limit=part.limit, offset=part.offset)
    return structs.HostingExcuseList(items=[_excuse(row) for row in rows])


def enter_hosting_excuse(call: Call) -> structs.HostingExcuse:
    """Propose an excuse."""
    wish: structs.HostingExcuseRequest = call.body
    row = contracts.enter_excuse(
        _user(call),
        wish.klass,
        wish.since,
        wish.until,
        note=wish.note,
        machine_ids=wish.machine_ids,
        contract_id=wish.contract_id,
        hall=wish.hall,
        evidence=wish.evidence,
    )
    return _excuse(row)


def approve_hosting_excuse(call: Call) -> structs.HostingExcuse:
    """Agree to an excuse."""
    return _excuse(contracts.approve_excuse(_user(call), call.number, reason=call.body.reason))


def refuse_hosting_excuse(call: Call) -> structs.HostingExcuse:
    """Refuse an excuse, or withdraw one's own."""
    return _excuse(contracts.refuse_excuse(_user(call), call.number, reason=call.body.reason))


def hosting_statements(call: Call) -> structs.HostingStatementList:
    """Statements, newest month first."""
    part = filters.part_query(call.request.GET)
    contract_id = filters.whole(call.request.GET, "contract", None, 1, filters.ID_MAX)
    rows = hosting_rows.statements(
        month=_month(call, ""), contract_id=contract_id, limit=part.limit, offset=part.offset
    )
    return structs.HostingStatementList(items=[structs.HostingStatement(**_statement(row)) for row in rows])


def hosting_statement(call: Call) -> structs.HostingStatementFull:
    """One statement with all that it states."""
    row = hosting_rows.statement(call.number)
    return structs.HostingStatementFull(**_statement(row), document=row.document)


def close_hosting_month(call: Call) -> structs.HostingClosing:
    """Have the statements of a month made."""
    wish: structs.HostingClosingRequest = call.body
    row = statements.ask_closing(
        _user(call), wish.month, hosting_sight.site(), contract_ids=wish.contract_ids, reason=wish.reason
    )
    return _closing(row)


def hosting_closing(call: Call) -> structs.HostingClosing:
    """How far a run of closing is."""
    return _closing(hosting_rows.closing(call.number))


def _user(call: Call) -> Any:
    return call.request.user


def _month(call: Call, default: str) -> str:
    try:
        return hosting_sight.checked_month(call.request.GET.get("month", ""), default)
    except HostingRefusedError as error:
        raise QueryError("month", error.text) from error


def _contract(row: ContractRow) -> structs.HostingContract:
    names = ("id", "name", "tenant_id", "tenant", "proposed", "terms")
    return structs.HostingContract(version=row.number, **{name: getattr(row, name) for name in names})


def _version(row: VersionRow) -> structs.HostingVersion:
    names = [name for name in structs.HostingVersion.__struct_fields__ if name != "changes"]
    changes = [structs.TermChange(field=name, before=before, after=after) for name, before, after in row.changes]
    return structs.HostingVersion(changes=changes, **{name: getattr(row, name) for name in names})


def _excuse(row: ExcuseRow) -> structs.HostingExcuse:
    names = [name for name in structs.HostingExcuse.__struct_fields__ if name != "machine_ids"]
    return structs.HostingExcuse(machine_ids=list(row.machine_ids), **{name: getattr(row, name) for name in names})


def _statement(row: StatementRow) -> dict[str, Any]:
    names = ("id", "contract_id", "contract", "month", "version", "closed_at", "reason", "newest", "sheet_sha256")
    return {name: getattr(row, name) for name in names} | {
        "currency": row.document.terms.currency,
        "total_minor": row.document.bill.total_minor,
        "credit_minor": row.document.bill.credit_minor,
        "uptime_ppm": row.document.sums.uptime_ppm,
        "files": f"/hosting/statements/{row.id}/",
    }


def _closing(row: ClosingRow) -> structs.HostingClosing:
    done = [
        structs.HostingOutcome(contract_id=contract_id, statement_id=number, why=hosting_wording.why_text(why))
        for contract_id, (number, why) in row.done.items()
    ]
    names = ("id", "month", "author", "asked_at", "finished_at")
    return structs.HostingClosing(
        contracts=list(row.contracts), done=done, **{name: getattr(row, name) for name in names}
    )
