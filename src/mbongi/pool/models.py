"""Tables of the pool's accounting. Private: other domains use services, selectors and values.

Amounts are whole satoshis, work is whole hashes (``rules/payout/amounts.py``). Tenants see the accounts, workers,
minutes, changes and leaves that are theirs; blocks and windows are everybody's; the order of work is the site's own.
"""

from typing import Any, ClassVar

from django.db import models
from django.db.models import F, Q

from mbongi.pool.rules.block_record import BlockState
from mbongi.pool.values import CoinKind, EntryKind, PaymentState, Protocol, Scheme

NAME_CHARS_MAX = 255


def _work_field(**options: Any) -> "models.DecimalField[Any, Any]":
    return models.DecimalField(max_digits=78, decimal_places=0, **options)


class Account(models.Model):
    """Who is paid: the user name up to its first dot, which may be a bitcoin address; or an account of the pool's own.

    ``payout_address`` empty: what is owed waits. ``minimum_sat`` 0: the pool's own minimum holds. ``balance_sat`` is
    what the changes add up to, kept in the same transaction; below 0 where a block was orphaned after it was paid out.
    """

    name = models.CharField(max_length=NAME_CHARS_MAX, unique=True)
    tenant = models.ForeignKey("identity.Tenant", null=True, on_delete=models.PROTECT, related_name="+")
    payout_address = models.CharField(max_length=100, blank=True, default="")
    minimum_sat = models.BigIntegerField(default=0)
    donation_ppm = models.PositiveIntegerField(default=0)
    balance_sat = models.BigIntegerField(default=0)
    added_at = models.DateTimeField()

    class Meta:
        ordering: ClassVar = ["name"]
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(minimum_sat__gte=0), name="pool_account_minimum"),
            models.CheckConstraint(condition=Q(donation_ppm__lte=1_000_000), name="pool_account_donation"),
        ]

    def __str__(self) -> str:
        return self.name


class Worker(models.Model):
    """One machine as it signs in: the whole user name. The totals are of all its shares ever."""

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="workers")
    tenant = models.ForeignKey("identity.Tenant", null=True, on_delete=models.PROTECT, related_name="+")
    name = models.CharField(max_length=NAME_CHARS_MAX, unique=True)
    first_share_at = models.DateTimeField()
    last_share_at = models.DateTimeField()
    shares = models.BigIntegerField(default=0)
    work = _work_field(default=0)
    best = models.FloatField(default=0)

    class Meta:
        ordering: ClassVar = ["name"]

    def __str__(self) -> str:
        return self.name


class WorkerMinute(models.Model):
    """A worker's shares of one minute of the shares' own time, by protocol; kept for ``pool.minute_days``."""

    worker = models.ForeignKey(Worker, on_delete=models.CASCADE, related_name="minutes")
    tenant = models.ForeignKey("identity.Tenant", null=True, on_delete=models.PROTECT, related_name="+")
    minute = models.DateTimeField()
    protocol = models.PositiveSmallIntegerField(choices=[(each.value, each.name.lower()) for each in Protocol])
    shares = models.BigIntegerField()
    work = _work_field()
    best = models.FloatField()

    class Meta:
        ordering: ClassVar = ["minute"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["worker", "minute", "protocol"], name="pool_worker_minute_once"),
        ]
        indexes: ClassVar = [models.Index(fields=["minute"], name="pool_worker_minute_time")]

    def __str__(self) -> str:
        return f"{self.worker_id} {self.minute}"


class Cursor(models.Model):
    """How far a shard's share log is taken in: ``offset`` bytes of the file with number ``file``."""

    shard = models.PositiveIntegerField(primary_key=True)
    file = models.BigIntegerField(default=0)
    offset = models.BigIntegerField(default=0)
    imported_to = models.DateTimeField(null=True)
    shares = models.BigIntegerField(default=0)
    replays = models.BigIntegerField(default=0)
    damaged_bytes = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"shard {self.shard}: file {self.file} at {self.offset}"


class Slice(models.Model):
    """A stretch of the pool's work, in the order in which it counts; the newest grows until it is closed.

    A block's own share closes its slice, so that a window ends exactly with it.
    """

    sequence = models.BigIntegerField(primary_key=True)
    from_at = models.DateTimeField()
    to_at = models.DateTimeField()
    work = _work_field()
    shares = models.BigIntegerField()
    is_closed = models.BooleanField(default=False)

    class Meta:
        ordering: ClassVar = ["sequence"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["is_closed"], condition=Q(is_closed=False), name="pool_slice_one_open"),
        ]

    def __str__(self) -> str:
        return f"{self.sequence}"


class SliceWork(models.Model):
    """A worker's part of a slice."""

    slice = models.ForeignKey(Slice, on_delete=models.CASCADE, related_name="parts")
    worker = models.ForeignKey(Worker, on_delete=models.PROTECT, related_name="+")
    work = _work_field()
    shares = models.BigIntegerField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["slice", "worker"], name="pool_slice_work_once"),
        ]

    def __str__(self) -> str:
        return f"{self.slice_id} {self.worker_id}"


class Height(models.Model):
    """What the chain asked for and offered at a height, by the site's own node; FPPS pays by it."""

    height = models.PositiveIntegerField(primary_key=True)
    at = models.DateTimeField()
    bits = models.BigIntegerField()
    network_work = _work_field()
    subsidy_sat = models.BigIntegerField()
    fees_sat = models.BigIntegerField()

    def __str__(self) -> str:
        return f"{self.height}"


class Block(models.Model):
    """A block that the pool found. What only its record tells is None until that is read.

    ``network_work`` is what a block takes on average, ``work_since`` the pool's work since the block before, this
    one's share (``share_work``) included. ``slice`` is the last one of the block's window. ``revision`` is that of the
    block's record which was taken in last, 0 before the first.
    """

    hash = models.CharField(max_length=64, unique=True)
    height = models.PositiveIntegerField()
    found_at = models.DateTimeField()
    worker = models.ForeignKey(Worker, on_delete=models.PROTECT, related_name="blocks")
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="blocks")
    slice = models.ForeignKey(Slice, null=True, on_delete=models.PROTECT, related_name="+")
    state = models.CharField(max_length=10, choices=[(each.value, each.value) for each in BlockState])
    state_at = models.DateTimeField()
    revision = models.PositiveIntegerField(default=0)
    is_at_rest = models.BooleanField(default=False)
    confirmations = models.IntegerField(default=0)
    share_work = _work_field()
    work_since = _work_field()
    network_work = _work_field(null=True)
    bits = models.BigIntegerField(null=True)
    subsidy_sat = models.BigIntegerField(null=True)
    fees_sat = models.BigIntegerField(null=True)
    coinbase_txid = models.CharField(max_length=64, blank=True, default="")
    own_output_index = models.PositiveIntegerField(null=True)
    own_output_sat = models.BigIntegerField(null=True)
    own_output_script = models.BinaryField(null=True)
    scheme = models.CharField(max_length=8, choices=[(each.value, each.value) for each in Scheme], blank=True)

    class Meta:
        ordering: ClassVar = ["-height", "-found_at"]
        indexes: ClassVar = [
            models.Index(fields=["id"], name="pool_block_moving", condition=Q(is_at_rest=False)),
            models.Index(fields=["-found_at"], name="pool_block_newest"),
        ]

    def __str__(self) -> str:
        return self.hash

    @property
    def reward_sat(self) -> int | None:
        """Subsidy and fees together; None until the record is read."""
        return None if self.subsidy_sat is None or self.fees_sat is None else self.subsidy_sat + self.fees_sat

    @property
    def luck(self) -> float | None:
        """Work expected over work done: above 1 is lucky. None where either is not known."""
        return float(self.network_work / self.work_since) if self.network_work and self.work_since else None


class Window(models.Model):
    """The work that a block's reward, or a period of FPPS (``block`` None), is divided by; and its published root.

    It holds the slices ``first_slice`` to ``last_slice``, the first of them only in part where the edge cuts it, and
    all that the division rests on, so that anybody can repeat it: the terms, the reward (what is expected of a block,
    where it is a period's), and ``direct_sat``, what the coinbase paid by itself, by account. ``name`` is what the
    proofs state. ``carried`` is what FPPS carries on, part of a satoshi, as "numerator/denominator".
    """

    name = models.CharField(max_length=NAME_CHARS_MAX, unique=True)
    block = models.OneToOneField(Block, null=True, on_delete=models.PROTECT, related_name="window")
    scheme = models.CharField(max_length=8, choices=[(each.value, each.value) for each in Scheme])
    first_slice = models.BigIntegerField()
    last_slice = models.BigIntegerField()
    window_work = _work_field()
    network_work = _work_field()
    subsidy_sat = models.BigIntegerField()
    fees_sat = models.BigIntegerField()
    direct_sat = models.JSONField(default=dict)
    fee_ppm = models.PositiveIntegerField()
    donations_ppm = models.JSONField(default=dict)
    total_work = _work_field()
    leaves = models.PositiveIntegerField()
    root = models.CharField(max_length=64)
    published_at = models.DateTimeField()
    ledger_index = models.BigIntegerField(null=True)
    carried = models.CharField(max_length=200, blank=True, default="")

    class Meta:
        ordering: ClassVar = ["-id"]

    def __str__(self) -> str:
        return self.name


class SchemeChange(models.Model):
    """From which slice on a scheme holds; FPPS pays for no work from before."""

    scheme = models.CharField(max_length=8, choices=[(each.value, each.value) for each in Scheme])
    from_slice = models.BigIntegerField()
    at = models.DateTimeField()

    class Meta:
        ordering: ClassVar = ["id"]

    def __str__(self) -> str:
        return f"{self.scheme} from {self.from_slice}"


class WindowLeaf(models.Model):
    """A worker's work in a window."""

    window = models.ForeignKey(Window, on_delete=models.CASCADE, related_name="leaf_rows")
    worker = models.ForeignKey(Worker, on_delete=models.PROTECT, related_name="leaves")
    tenant = models.ForeignKey("identity.Tenant", null=True, on_delete=models.PROTECT, related_name="+")
    work = _work_field()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["window", "worker"], name="pool_window_leaf_once"),
        ]

    def __str__(self) -> str:
        return f"{self.window_id} {self.worker_id}"


class PlannedScript(models.Model):
    """A script, in hex, that coinbases were to pay to, and whose it was; the first account keeps it."""

    script = models.CharField(max_length=100, unique=True)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="+")

    def __str__(self) -> str:
        return self.script


class Entry(models.Model):
    """One change of balances under a key that counts once (``rules/payout/balances.py``); never altered, only undone.

    ``digest`` is the SHA-256 of its changes, which stands in the ledger's entry ``ledger_index`` too.
    """

    key = models.CharField(max_length=200, unique=True)
    kind = models.CharField(max_length=8, choices=[(each.value, each.value) for each in EntryKind])
    at = models.DateTimeField()
    undoes = models.ForeignKey("self", null=True, on_delete=models.PROTECT, related_name="undone_by")
    block = models.ForeignKey(Block, null=True, on_delete=models.PROTECT, related_name="entries")
    window = models.ForeignKey(Window, null=True, on_delete=models.PROTECT, related_name="entries")
    digest = models.CharField(max_length=64)
    ledger_index = models.BigIntegerField(null=True)

    class Meta:
        ordering: ClassVar = ["id"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(kind=EntryKind.REVERSAL, undoes__isnull=False)
                | (~Q(kind=EntryKind.REVERSAL) & Q(undoes__isnull=True)),
                name="pool_entry_reversal_undoes",
            ),
            models.CheckConstraint(condition=~Q(undoes=F("id")), name="pool_entry_not_itself"),
        ]

    def __str__(self) -> str:
        return self.key


class EntryChange(models.Model):
    """By how much an entry changes one account's balance, never 0."""

    entry = models.ForeignKey(Entry, on_delete=models.PROTECT, related_name="changes")
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="changes")
    tenant = models.ForeignKey("identity.Tenant", null=True, on_delete=models.PROTECT, related_name="+")
    sat = models.BigIntegerField()

    class Meta:
        ordering: ClassVar = ["id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["entry", "account"], name="pool_entry_change_once"),
            models.CheckConstraint(condition=~Q(sat=0), name="pool_entry_change_not_0"),
        ]
        indexes: ClassVar = [models.Index(fields=["account", "-id"], name="pool_entry_change_account")]

    def __str__(self) -> str:
        return f"{self.entry_id} {self.account_id} {self.sat:+d}"


class Payment(models.Model):
    """One transaction that pays balances off, from its proposal to its burial in the chain.

    ``unsigned`` never changes; ``txid`` is empty until the signed transaction is here. ``proposer`` None: a program,
    which ``proposed_by`` names as the ledger does. ``sent_height``: no block up to there can hold it, for nobody
    outside had it. ``block_hash`` is empty while no block of the best chain holds it. ``replaces`` is the one whose
    coins it spends at a higher fee, so that only one of the two can be in the chain.
    """

    state = models.CharField(max_length=10, choices=[(each.value, each.value) for each in PaymentState])
    reason = models.CharField(max_length=500)
    proposer = models.ForeignKey("identity.User", null=True, on_delete=models.PROTECT, related_name="+")
    proposed_by = models.CharField(max_length=80)
    replaces = models.ForeignKey("self", null=True, on_delete=models.PROTECT, related_name="replaced_by")
    proposed_at = models.DateTimeField()
    approvals_needed = models.PositiveSmallIntegerField()
    payer = models.CharField(max_length=12)
    fee_sat_kvb = models.PositiveIntegerField()
    fee_sat = models.BigIntegerField()
    pool_fee_sat = models.BigIntegerField()
    amount_sat = models.BigIntegerField()
    change_sat = models.BigIntegerField()
    change_index = models.PositiveIntegerField(null=True)
    weight = models.PositiveIntegerField()
    unsigned = models.BinaryField()
    exported_at = models.DateTimeField(null=True)
    signed = models.BinaryField(null=True)
    signed_at = models.DateTimeField(null=True)
    txid = models.CharField(max_length=64, blank=True, default="")
    broadcast_at = models.DateTimeField(null=True)
    sent_height = models.PositiveIntegerField(null=True)
    block_hash = models.CharField(max_length=64, blank=True, default="")
    block_height = models.PositiveIntegerField(null=True)
    confirmations = models.PositiveIntegerField(default=0)
    confirmed_at = models.DateTimeField(null=True)
    missing_since = models.PositiveIntegerField(null=True)
    is_at_rest = models.BooleanField(default=False)
    ended_at = models.DateTimeField(null=True)
    message = models.CharField(max_length=500, blank=True, default="")

    class Meta:
        ordering: ClassVar = ["-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["txid"], condition=~Q(txid=""), name="pool_payment_txid_once"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["id"], name="pool_payment_moving", condition=Q(is_at_rest=False)),
        ]

    def __str__(self) -> str:
        return f"payment {self.pk}"


class PaymentApproval(models.Model):
    """Somebody's consent to exactly the transaction of a payment; never the proposer's."""

    payment = models.ForeignKey(Payment, on_delete=models.PROTECT, related_name="approvals")
    user = models.ForeignKey("identity.User", null=True, on_delete=models.PROTECT, related_name="+")
    approved_by = models.CharField(max_length=80)
    approved_at = models.DateTimeField()

    class Meta:
        ordering: ClassVar = ["id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["payment", "approved_by"], name="pool_payment_approval_once"),
        ]

    def __str__(self) -> str:
        return f"{self.payment_id} {self.approved_by}"


class PaymentOutput(models.Model):
    """An account's part of a payment: ``amount_sat`` comes off its balance, ``sent_sat`` reaches its address."""

    payment = models.ForeignKey(Payment, on_delete=models.PROTECT, related_name="outputs")
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="payments")
    tenant = models.ForeignKey("identity.Tenant", null=True, on_delete=models.PROTECT, related_name="+")
    index = models.PositiveIntegerField()
    address = models.CharField(max_length=100)
    amount_sat = models.BigIntegerField()
    sent_sat = models.BigIntegerField()

    class Meta:
        ordering: ClassVar = ["index"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["payment", "index"], name="pool_payment_output_once"),
            models.UniqueConstraint(fields=["payment", "account"], name="pool_payment_account_once"),
        ]

    def __str__(self) -> str:
        return f"{self.payment_id}:{self.index}"


class Coin(models.Model):
    """An output of the pool's own. ``transaction`` is the one that made it, which signers ask for, and ``unlock`` what
    its script is the hash of, where that is a script too (``rules/payout/coins.py``).

    ``height`` None: in no block. ``is_gone``: its own block is not in the chain. ``is_spent``: somebody spent it past
    the pool. ``reserved_by`` is the payment that spends it, or would.
    """

    txid = models.CharField(max_length=64)
    index = models.PositiveIntegerField()
    kind = models.CharField(max_length=8, choices=[(each.value, each.value) for each in CoinKind])
    value_sat = models.BigIntegerField()
    script = models.BinaryField()
    unlock = models.BinaryField(default=b"")
    transaction = models.BinaryField()
    height = models.PositiveIntegerField(null=True)
    confirmations = models.PositiveIntegerField(default=0)
    is_gone = models.BooleanField(default=False)
    is_spent = models.BooleanField(default=False)
    block = models.ForeignKey(Block, null=True, on_delete=models.PROTECT, related_name="coins")
    made_by = models.ForeignKey(Payment, null=True, on_delete=models.PROTECT, related_name="change_coins")
    reserved_by = models.ForeignKey(Payment, null=True, on_delete=models.PROTECT, related_name="coins")

    class Meta:
        ordering: ClassVar = ["id"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["txid", "index"], name="pool_coin_once")]
        indexes: ClassVar = [models.Index(fields=["id"], name="pool_coin_free", condition=Q(reserved_by=None))]

    def __str__(self) -> str:
        return f"{self.txid}:{self.index}"
