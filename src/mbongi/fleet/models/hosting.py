"""Contracts of tenants who own machines here, what excuses downtime, what was seen day by day, monthly statements."""

from typing import ClassVar

from django.db import models
from django.db.models import Q

from mbongi.fleet.models.machine import Machine
from mbongi.fleet.values import ProfileState


class Contract(models.Model):
    """A tenant's contract. What it says is in its versions."""

    tenant = models.ForeignKey("identity.Tenant", on_delete=models.PROTECT, related_name="+")
    name = models.CharField(max_length=60, unique=True)
    added_at = models.DateTimeField()

    class Meta:
        ordering: ClassVar = ["name"]

    def __str__(self) -> str:
        return self.name


class ContractVersion(models.Model):
    """One version of a contract: ``rules.hosting_terms.Terms`` that never change, and who decided on them."""

    contract = models.ForeignKey(Contract, on_delete=models.PROTECT, related_name="versions")
    tenant = models.ForeignKey("identity.Tenant", on_delete=models.PROTECT, related_name="+")
    number = models.PositiveIntegerField()
    document = models.JSONField()
    state = models.CharField(max_length=10, default=ProfileState.PROPOSED)
    reason = models.CharField(max_length=500)
    author = models.ForeignKey("identity.User", on_delete=models.PROTECT, related_name="+")
    written_at = models.DateTimeField()
    decider = models.ForeignKey("identity.User", null=True, on_delete=models.PROTECT, related_name="+")
    decided_at = models.DateTimeField(null=True)
    decision = models.CharField(max_length=500, blank=True)

    class Meta:
        ordering: ClassVar = ["contract_id", "-number"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["contract", "number"], name="fleet_contract_number"),
            models.UniqueConstraint(
                fields=["contract"], condition=Q(state="proposed"), name="fleet_contract_one_proposed"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.pk} contract {self.contract_id} version {self.number}"


class Hosted(models.Model):
    """A machine that a contract's rule took in, from ``since`` until before ``until`` (None: still)."""

    contract = models.ForeignKey(Contract, on_delete=models.PROTECT, related_name="hosted")
    tenant = models.ForeignKey("identity.Tenant", on_delete=models.PROTECT, related_name="+")
    machine = models.ForeignKey(Machine, on_delete=models.PROTECT, related_name="+")
    since = models.DateTimeField()
    until = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar = ["contract_id", "machine_id", "since"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["contract", "machine"], condition=Q(until=None), name="fleet_hosted_once"),
        ]

    def __str__(self) -> str:
        return f"{self.pk} contract {self.contract_id} machine {self.machine_id}"


class HostedDay(models.Model):
    """What was seen of a machine on a day of its contract, at the site: ``rules.hosting.Seen``, read from telemetry.

    The rows that it was read from are kept for weeks, this for good. It is read again until ``read_at`` is late enough
    for what came late.
    """

    contract = models.ForeignKey(Contract, on_delete=models.PROTECT, related_name="+")
    tenant = models.ForeignKey("identity.Tenant", on_delete=models.PROTECT, related_name="+")
    machine = models.ForeignKey(Machine, on_delete=models.PROTECT, related_name="+")
    day = models.DateField()
    since = models.DateTimeField()
    until = models.DateTimeField()
    runs = models.TextField()
    hash_milli = models.BigIntegerField()
    energy_wh = models.BigIntegerField()
    power_s = models.PositiveIntegerField()
    pool_milli = models.BigIntegerField(null=True)
    read_at = models.DateTimeField()

    class Meta:
        ordering: ClassVar = ["contract_id", "day", "machine_id", "since"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["contract", "machine", "since"], name="fleet_hostedday_once"),
        ]
        indexes: ClassVar = [models.Index(fields=["contract", "day"], name="fleet_hostedday_day")]

    def __str__(self) -> str:
        return f"{self.day} contract {self.contract_id} machine {self.machine_id}"


class Excuse(models.Model):
    """Downtime that is not the site's to answer for, as somebody entered it and somebody else agreed.

    It speaks of the machines of ``machine_ids`` where there are any, else of ``contract``, else of ``hall``, else of
    the whole site.
    """

    klass = models.CharField(max_length=14)
    since = models.DateTimeField()
    until = models.DateTimeField()
    machine_ids = models.JSONField(default=list)
    contract = models.ForeignKey(Contract, null=True, on_delete=models.PROTECT, related_name="+")
    hall = models.PositiveSmallIntegerField(null=True)
    note = models.CharField(max_length=1000)
    evidence = models.CharField(max_length=300, blank=True)
    state = models.CharField(max_length=10, default=ProfileState.PROPOSED)
    author = models.ForeignKey("identity.User", on_delete=models.PROTECT, related_name="+")
    entered_at = models.DateTimeField()
    decider = models.ForeignKey("identity.User", null=True, on_delete=models.PROTECT, related_name="+")
    decided_at = models.DateTimeField(null=True)
    decision = models.CharField(max_length=500, blank=True)
    tenant = models.ForeignKey("identity.Tenant", null=True, on_delete=models.PROTECT, related_name="+")

    class Meta:
        ordering: ClassVar = ["-since", "-id"]
        indexes: ClassVar = [models.Index(fields=["-since", "-id"], name="fleet_excuse_newest")]

    def __str__(self) -> str:
        return f"{self.pk} {self.klass}"


class Closing(models.Model):
    """The statements of a month being made, contract by contract; the fleet process carries it on."""

    month = models.CharField(max_length=7)
    contracts = models.JSONField()
    """The numbers of the contracts, in their order."""
    done = models.JSONField(default=dict)
    """By contract: the number of its statement, or why there is none."""
    step = models.CharField(max_length=60, blank=True)
    reason = models.CharField(max_length=500, blank=True)
    author = models.ForeignKey("identity.User", on_delete=models.PROTECT, related_name="+")
    asked_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)
    tenant = models.ForeignKey("identity.Tenant", null=True, on_delete=models.PROTECT, related_name="+")

    class Meta:
        ordering: ClassVar = ["-id"]

    def __str__(self) -> str:
        return f"{self.pk} {self.month}"


class Statement(models.Model):
    """A contract's month, closed: it never changes. A correction is a new version that says what differs.

    ``sheet`` is the compressed CSV of the lines, ``sheet_sha256`` the hash of the CSV itself; ``document`` is
    ``statements.Document``.
    """

    contract = models.ForeignKey(Contract, on_delete=models.PROTECT, related_name="statements")
    tenant = models.ForeignKey("identity.Tenant", on_delete=models.PROTECT, related_name="+")
    month = models.CharField(max_length=7)
    version = models.PositiveIntegerField()
    document = models.JSONField()
    sheet = models.BinaryField()
    sheet_sha256 = models.CharField(max_length=64)
    reason = models.CharField(max_length=500, blank=True)
    author = models.ForeignKey("identity.User", on_delete=models.PROTECT, related_name="+")
    closed_at = models.DateTimeField()

    class Meta:
        ordering: ClassVar = ["-month", "contract_id", "-version"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["contract", "month", "version"], name="fleet_statement_once"),
        ]
        indexes: ClassVar = [models.Index(fields=["month", "contract"], name="fleet_statement_month")]

    def __str__(self) -> str:
        return f"{self.pk} contract {self.contract_id} {self.month} version {self.version}"
