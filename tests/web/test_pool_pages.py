"""The pool's pages, API and metrics, for each role, for tenants and for nobody, in both languages."""

import dataclasses
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from django.conf import settings
from django.test import Client
from django.utils.html import escape

from mbongi.base.clock import utc_now
from mbongi.core.identity.scope import SITE, acting
from mbongi.core.identity.values import Role
from mbongi.core.ledger.notes import Verifier
from mbongi.core.telemetry.errors import StoreRefused, StoreUnavailable
from mbongi.pool import models, selectors, telemetry
from mbongi.pool.rules.proof import ShareTree
from mbongi.pool.status import PoolStatus, merged
from mbongi.pool.values import PaymentState
from mbongi.pool.verify_share_proof import verify
from mbongi.pool.windows import proof_secret
from mbongi.web import pool_sight
from mbongi.web.live.pool_board import POOL, STALE_S, PoolBoard
from tests.web import pool_site
from tests.web.conftest import Pilot
from tests.web.pool_site import HASH, NORTH_WORKER, ROOT, SITE_WORKER, WINDOW, Minutes, PoolSite

PAGES = (
    *("/pool/", "/pool/record/", "/pool/workers/", f"/pool/worker/?name={SITE_WORKER}", "/pool/accounts/"),
    *("/pool/account/site/", "/pool/blocks/", f"/pool/blocks/{HASH}/", "/pool/payouts/", "/pool/workers/export.csv"),
    *("/pool/verify_share_proof.py", "/pool/statement.json", "/pool/account/site/series.json"),
)
OF_TENANTS = (
    *("/pool/workers/", f"/pool/worker/?name={NORTH_WORKER}", "/pool/accounts/", "/pool/account/north/"),
    *("/pool/blocks/", f"/pool/blocks/{HASH}/", "/pool/payouts/"),
)
NOT_OF_TENANTS = (
    *("/pool/record/", f"/pool/worker/?name={SITE_WORKER}", "/pool/account/site/", "/pool/account/site/series.json"),
    f"/pool/proof/?window={WINDOW}&worker={SITE_WORKER}",
)
API = (
    *("/api/v1/pool", "/api/v1/pool/series", "/api/v1/pool/workers", "/api/v1/pool/rejects", "/api/v1/pool/accounts"),
    *("/api/v1/pool/account?name=site", "/api/v1/pool/blocks", f"/api/v1/pool/block?hash={HASH}"),
    *("/api/v1/pool/statement", "/api/v1/pool/payouts"),
)


@pytest.mark.parametrize("language", ["fr", "en"])
@pytest.mark.parametrize("role", [role for role in Role if role is not Role.TENANT])
def test_the_sites_people_see_every_page(
    role: Role, language: str, site: PoolSite, sign_in: Callable[..., Client]
) -> None:
    client = sign_in(role, language=language)
    assert {page: client.get(page).status_code for page in PAGES} == dict.fromkeys(PAGES, 200)
    assert {path: client.get(path).status_code for path in API} == dict.fromkeys(API, 200)


def test_tenants_see_their_own_alone(
    site: PoolSite, pilot: Pilot, minutes: Minutes, sign_in: Callable[..., Client]
) -> None:
    client = sign_in(Role.TENANT, owner=pilot.north)
    assert {page: client.get(page).status_code for page in OF_TENANTS} == dict.fromkeys(OF_TENANTS, 200)
    assert {page: client.get(page).status_code for page in NOT_OF_TENANTS} == dict.fromkeys(NOT_OF_TENANTS, 404)
    assert client.get("/pool/").headers["Location"] == "/pool/accounts/"
    assert set(map(str, minutes.asked)) == {"['north']"}
    text = client.get(f"/pool/blocks/{HASH}/").content.decode()
    assert NORTH_WORKER in text
    assert "/pool/account/north/" in text
    listed = client.get("/api/v1/pool/accounts").json()
    assert [each["name"] for each in listed["items"]] == ["north"]
    assert client.get("/api/v1/pool").status_code == 404
    assert client.get("/api/v1/pool/account?name=site").status_code == 404
    assert client.get("/api/v1/pool/series?account=site").status_code == 404


@pytest.mark.parametrize("page", PAGES)
def test_nobody_sees_anything_unless_the_site_opens_it(page: str, site: PoolSite) -> None:
    answer = Client().get(page)
    if page.endswith(".json"):
        assert answer.status_code == 401
    else:
        assert answer.headers["Location"].startswith("/account/login/")


def test_an_account_page_may_be_opened_to_whoever_knows_its_name(site: PoolSite, public: Callable[..., None]) -> None:
    public(public_accounts=True)
    text = Client(headers={"accept-language": "en"}).get("/pool/account/north/").content.decode()
    assert "north" in text
    assert "3.125" in text
    assert "/pool/accounts/" not in text
    assert site.north.payout_address not in text
    assert Client().get("/pool/account/north/series.json").status_code == 200
    assert Client().get("/pool/account/nobody/").status_code == 404
    assert Client().get("/pool/account/.fee/").status_code == 302
    assert Client().get("/pool/workers/").status_code == 302


def test_the_overview_shows_rates_with_interval_luck_fees_and_nodes(
    site: PoolSite, sign_in: Callable[..., Client]
) -> None:
    text = sign_in(language="en").get("/pool/").content.decode()
    assert "8.80" in text  # 30 shares of difficulty 4096 in a minute: 8.796 TH/s
    assert "125" in text  # 2 blocks where 1.6 were to be expected
    assert "7.50" in text  # the best share, 7.5 G
    assert "10.0.0.5:8332" in text
    assert "no answer within 15 s" in text
    assert "840123" in text
    assert "4" in text
    assert "80" in text  # per cent of the node's best fees
    assert "cgminer/4.12" in text


def test_a_pool_that_never_spoke_and_one_that_is_silent_are_told_apart(
    site: PoolSite, sign_in: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = sign_in(language="en")
    later = utc_now() + timedelta(seconds=STALE_S + 1)
    monkeypatch.setattr("mbongi.web.live.pool_board.utc_now", lambda: later)
    text = client.get("/pool/").content.decode()
    assert "data-pool-stale hidden" not in text
    assert "silent" in text
    POOL.__init__()
    assert "No pool process has spoken yet" in client.get("/pool/").content.decode()


def test_a_store_that_is_away_leaves_what_the_processes_say(
    site: PoolSite, sign_in: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_arguments: Any, **_options: Any) -> None:
        raise StoreUnavailable("away")

    for name in ("totals", "workers", "rejects", "series"):
        monkeypatch.setattr(telemetry, name, away)
    client = sign_in(language="en")
    text = client.get("/pool/").content.decode()
    assert "figures over time are missing" in text
    assert "8.80" in text
    assert client.get("/pool/workers/").status_code == 200
    assert client.get("/pool/account/site/").status_code == 200
    assert client.get("/api/v1/pool/series").status_code == 503
    assert client.get("/pool/statement.json").status_code == 503


def test_empty_pages_say_what_comes(pilot: Pilot, minutes: Minutes, sign_in: Callable[..., Client]) -> None:
    minutes.workers_known = ()
    client = sign_in(language="en")
    assert "No block yet" in client.get("/pool/blocks/").content.decode()
    assert "No worker yet" in client.get("/pool/workers/").content.decode()
    assert "No account yet" in client.get("/pool/accounts/").content.decode()
    assert "No payout yet" in client.get("/pool/payouts/").content.decode()
    assert client.get("/pool/").status_code == 200


@pytest.mark.parametrize("query", ["sort=nonsense", "limit=0", "page=x", "q=" + "x" * 201])
def test_a_query_that_cannot_be_used_is_refused(query: str, site: PoolSite, sign_in: Callable[..., Client]) -> None:
    assert sign_in().get(f"/pool/workers/?{query}").status_code == 400
    assert sign_in().get(f"/api/v1/pool/workers?{query}").status_code == 400


def test_names_that_miners_choose_are_escaped(site: PoolSite, minutes: Minutes, sign_in: Callable[..., Client]) -> None:
    minutes.workers_known = ("site.<script>alert(1)</script>&?/..",)
    text = sign_in().get("/pool/workers/").content.decode()
    assert "<script>alert(1)" not in text
    assert "&lt;script&gt;" in text
    assert "name=site.%3Cscript%3Ealert%281%29%3C%2Fscript%3E%26%3F%2F.." in text


def test_a_proof_is_handed_to_whom_the_worker_is_visible_and_the_independent_verifier_takes_it(
    site: PoolSite, pilot: Pilot, sign_in: Callable[..., Client]
) -> None:
    tree = ShareTree(WINDOW, {SITE_WORKER: 2000, NORTH_WORKER: 1000}, proof_secret(settings.CONFIG.site.data_dir))
    with acting(SITE):
        models.Window.objects.update(root=tree.root.hex())
    client = sign_in(Role.TENANT, owner=pilot.north)
    answer = client.get(f"/pool/proof/?window={WINDOW}&worker={NORTH_WORKER}")
    proof = json.loads(answer.content)
    verify(proof, tree.root.hex())
    assert proof["work"] == "1000"
    assert client.get(f"/api/v1/pool/proof?window={WINDOW}&worker={NORTH_WORKER}").json() == proof
    assert client.get(f"/api/v1/pool/proof?window={WINDOW}&worker={SITE_WORKER}").status_code == 404
    assert b"verify" in client.get("/pool/verify_share_proof.py").content


def test_a_block_shows_its_window_root_ledger_entry_and_credits(site: PoolSite, sign_in: Callable[..., Client]) -> None:
    text = sign_in(language="en").get(f"/pool/blocks/{HASH}/").content.decode()
    assert ROOT in text
    assert "PPLNS" in text
    assert "6.25" in text
    assert "90" in text  # 2700 of work expected, 3000 done
    assert sign_in().get("/pool/blocks/" + "0" * 64 + "/").status_code == 404
    with acting(SITE):
        assert selectors.credits_of_block(HASH) == [("site", 625_000_000), ("north", 312_500_000)]


def test_the_statement_is_signed_by_the_ledgers_key_and_names_site_and_country(
    site: PoolSite, public: Callable[..., None]
) -> None:
    public(public_statement=True)
    found = Client().get("/pool/statement.json").json()
    text = Verifier.from_text(found["verifier"]).open(found["note"])
    first, statement, _end = text.split("\n")
    assert first == "mbongi-hashrate-1"
    assert json.loads(statement) == found["statement"]
    [country] = found["statement"]["countries"]
    assert (country["country"], country["sites"]) == ("CG", 1)
    assert country["hashrate_hs"]["low"] < country["hashrate_hs"]["value"] < country["hashrate_hs"]["high"]


def test_the_metrics_hold_what_the_processes_said_and_nothing_once_they_are_silent(
    site: PoolSite, sign_in: Callable[..., Client]
) -> None:
    text = sign_in().get("/metrics").content.decode()
    assert "mbongi_pool_workers 45.0" in text
    assert 'mbongi_pool_shares_rejected_total{reason="stale"} 3.0' in text
    assert 'mbongi_pool_firmware_shares_total{firmware="bmminer \\"2.0\\"",outcome="stale"} 3.0' in text
    assert 'mbongi_pool_hashrate_hashes_per_second{bound="estimate",window="minute"}' in text
    assert 'mbongi_pool_node_followed{node="10.0.0.5:8332"} 1.0' in text
    POOL.__init__()
    text = sign_in().get("/metrics").content.decode()
    assert "mbongi_pool_processes 0.0" in text
    assert "mbongi_pool_workers" not in text


def test_several_processes_are_shown_as_one_and_a_dead_one_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    board, at = PoolBoard(), [utc_now()]
    monkeypatch.setattr("mbongi.web.live.pool_board.utc_now", lambda: at[0])
    board.hear(msgspec.json.encode(pool_site.status(shard=0, workers=40)))
    at[0] += timedelta(seconds=STALE_S + 5)
    board.hear(msgspec.json.encode(pool_site.status(shard=1, workers=5)))
    board.hear(msgspec.json.encode(pool_site.status(shard=2, workers=6)))
    now = board.now()
    assert now.status is not None
    assert (now.processes, now.status.workers, now.is_stale) == (2, 11, False)
    with pytest.raises(msgspec.DecodeError):
        board.hear(b"nonsense")


def test_processes_together_have_the_sums_of_their_counts() -> None:
    one, two = pool_site.status(shard=0), pool_site.status(shard=1, listening=False, trouble="no node")
    both = merged([one, two])
    assert isinstance(both, PoolStatus)
    assert (both.workers, both.rejected, both.trouble, both.listening) == (90, {"stale": 6}, "no node", True)
    assert both.by_firmware == {'bmminer "2.0"': {"accepted": 80, "stale": 6}}
    assert both.windows["minute"].shares == 60
    assert both.told.durations().count == 6
    assert merged([]) is None


def test_the_stream_says_what_pages_show(site: PoolSite) -> None:
    told = pool_sight.live(POOL.now())
    assert (told["workers"], told["v1"], told["v2"], told["stale"]) == (45, 40, 7, False)
    assert told["fees_pct"] == 80.0
    assert told["hashrate_hs"] == pytest.approx(8.796e12, rel=1e-3)
    POOL.__init__()
    assert pool_sight.live(POOL.now()) == {"heard_at": None, "stale": True}


# Payouts.


def test_a_payout_is_approved_by_a_second_person_and_not_by_its_proposer(
    site: PoolSite, sign_in: Callable[..., Client]
) -> None:
    proposing, approving = sign_in(Role.SITE_MANAGER, language="en"), sign_in(Role.SITE_MANAGER, language="en")
    with acting(SITE):
        row = pool_site.payment(proposing.user, site.north)
    page = f"/pool/payouts/{row.pk}/"
    assert "somebody else must approve it" in proposing.get(page).content.decode()
    shown = approving.get(page).content.decode()
    txid = shown.split('name="unsigned_txid" value="')[1][:64]
    refused = proposing.post(f"{page}approve/", {"unsigned_txid": txid})
    assert refused.status_code == 400
    assert approving.post(f"{page}approve/", {"unsigned_txid": "0" * 64}).status_code == 400
    assert approving.post(f"{page}approve/", {"unsigned_txid": txid}).status_code == 302
    with acting(SITE):
        assert models.Payment.objects.get().state == PaymentState.APPROVED
    text = approving.get(page).content.decode()
    assert "Sign outside" in text
    assert approving.post(f"{page}import/").status_code == 400
    assert approving.post(f"{page}cancel/", {"reason": "an error"}).status_code == 302
    with acting(SITE):
        assert models.Payment.objects.get().state == PaymentState.CANCELLED


@pytest.mark.parametrize("step", ["approve", "export", "import", "cancel"])
def test_who_may_not_and_tenants_cannot_move_a_payout(
    step: str, site: PoolSite, pilot: Pilot, sign_in: Callable[..., Client]
) -> None:
    with acting(SITE):
        row = pool_site.payment(sign_in().user, site.north)
    data = {"unsigned_txid": "0" * 64, "reason": "because", "text": "x"}
    path = f"/pool/payouts/{row.pk}/{step}/"
    assert sign_in(Role.TECHNICIAN).post(path, data).status_code == 403
    assert sign_in(Role.TENANT, owner=pilot.north).post(path, data).status_code == 404
    assert Client().post(path, data).status_code == 302
    with acting(SITE):
        assert models.Payment.objects.get().state == PaymentState.DRAFT


def test_a_tenant_sees_the_payouts_that_pay_it(site: PoolSite, pilot: Pilot, sign_in: Callable[..., Client]) -> None:
    with acting(SITE):
        row = pool_site.payment(sign_in().user, site.north)
    client = sign_in(Role.TENANT, owner=pilot.north, language="en")
    text = client.get(f"/pool/payouts/{row.pk}/").content.decode()
    assert "rb1qx" in text
    assert "/approve/" not in text
    assert "Payout" in client.get("/pool/account/north/").content.decode()


def test_a_payout_without_coins_is_refused_in_words(site: PoolSite, sign_in: Callable[..., Client]) -> None:
    client = sign_in(language="en")
    for step in ("show", "propose"):
        answer = client.post("/pool/payouts/", {"step": step, "reason": "November", "fee": "3,5"})
        assert answer.status_code == 400
        assert "problem-box" in answer.content.decode()
    assert client.post("/pool/payouts/", {"step": "show", "fee": "much"}).status_code == 400
    assert sign_in(Role.TECHNICIAN).post("/pool/payouts/", {"step": "show"}).status_code == 403
    dry = client.post("/api/v1/pool/payouts", data={"reason": "x"}, content_type="application/json")
    assert dry.status_code == 409


NUL_ASKED = (
    *("/pool/account/%00/", "/pool/account/a%00b/series.json", "/pool/accounts/?q=%00", "/pool/blocks/%00/"),
    *("/pool/proof/?window=%00&worker=x", "/machines/?q=%00", "/api/v1/pool/account?name=%00"),
    *("/api/v1/pool/accounts?q=%00", "/api/v1/pool/block?hash=%00", "/api/v1/pool/series?account=%00"),
)


@pytest.mark.parametrize("path", NUL_ASKED)
def test_an_address_with_a_nul_is_refused_whoever_asks(
    path: str, site: PoolSite, sign_in: Callable[..., Client], public: Callable[..., None]
) -> None:
    public(public_accounts=True)
    assert sign_in().get(path).status_code == 400
    assert Client().get(path).status_code == 400


def test_a_nul_in_a_body_is_no_error_of_the_site(site: PoolSite, sign_in: Callable[..., Client]) -> None:
    client = sign_in(Role.SITE_MANAGER)
    with acting(SITE):
        row = pool_site.payment(sign_in().user, site.north)
    shown = client.post("/pool/payouts/", {"step": "show", "accounts": "no\0rth"})
    asked = client.post("/api/v1/pool/payouts", {"accounts": ["no\0rth"]}, "application/json")
    cancelled = client.post(f"/pool/payouts/{row.pk}/cancel/", {"reason": "a\0n error"})
    assert (shown.status_code, asked.status_code, cancelled.status_code) == (400, 409, 302)
    with acting(SITE):
        assert models.Payment.objects.get().message == "an error"


@pytest.mark.parametrize("fee", ["NaN", "sNaN", "Infinity", "-1", "0", "five"])
def test_a_fee_that_is_no_amount_is_refused(fee: str, site: PoolSite, sign_in: Callable[..., Client]) -> None:
    answer = sign_in(Role.SITE_MANAGER, language="en").post("/pool/payouts/", {"step": "show", "fee": fee})
    assert answer.status_code == 400
    assert "State the fee as a number." in answer.content.decode()


@pytest.mark.parametrize("step", ["show", "propose"])
def test_a_tenants_people_propose_nothing_whatever_their_role(
    step: str, site: PoolSite, pilot: Pilot, sign_in: Callable[..., Client]
) -> None:
    client = sign_in(Role.SITE_MANAGER, owner=pilot.north)
    assert client.post("/pool/payouts/", {"step": step, "reason": "x"}).status_code == 404


def test_an_address_is_not_changed_without_a_reason(site: PoolSite, sign_in: Callable[..., Client]) -> None:
    client = sign_in(Role.SITE_MANAGER, language="en")
    answer = client.post("/pool/address/", {"account": "north", "address": "", "reason": " "}, follow=True)
    assert "State a reason." in answer.content.decode()
    with acting(SITE):
        assert models.Account.objects.get(name="north").payout_address


def test_a_public_page_names_no_address_and_no_transaction(
    site: PoolSite, public: Callable[..., None], sign_in: Callable[..., Client]
) -> None:
    public(public_accounts=True)
    with acting(SITE):
        pool_site.payment(sign_in().user, site.north, PaymentState.BROADCAST)
        models.Payment.objects.update(txid="ee" * 32)
    text = Client().get("/pool/account/north/").content.decode()
    assert "rb1q" not in text
    assert "eeee" not in text
    assert "rb1qx" in sign_in().get("/pool/account/north/").content.decode()


@pytest.mark.parametrize("path", ["/pool/account/.fee/", "/pool/account/.fee/series.json"])
def test_the_pools_own_accounts_are_never_public(path: str, site: PoolSite, public: Callable[..., None]) -> None:
    public(public_accounts=True)
    with acting(SITE):
        models.Account.objects.create(name=".fee", added_at=utc_now())
    assert Client().get(path).status_code in {302, 401}


def test_a_store_that_refuses_is_no_error_of_the_site(
    site: PoolSite, sign_in: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise StoreRefused("over a limit", 159)

    for name in ("totals", "workers", "rejects", "series"):
        monkeypatch.setattr(telemetry, name, refuse)
    client = sign_in()
    for path in ("/api/v1/pool/workers", "/api/v1/pool/series", "/api/v1/pool/rejects", "/api/v1/pool/statement"):
        assert client.get(path).status_code == 503


def test_what_is_owed_is_summed_over_all_accounts_and_not_over_a_page(
    site: PoolSite, sign_in: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selectors, "PAGE_MAX", 1)
    text = sign_in(language="en").get("/pool/accounts/").content.decode()
    assert "9.375" in text


@pytest.mark.parametrize("name", ['<script>alert("x")</script>', "\u202eevil\u202c.one", "é" * 64, "a'b\"c&d?#%2F"])
def test_a_workers_name_stays_a_name(
    name: str, site: PoolSite, minutes: Minutes, sign_in: Callable[..., Client]
) -> None:
    with acting(SITE):
        models.Account.objects.filter(name="site").update(name=name)
    client = sign_in()
    answers = [client.get("/pool/accounts/"), client.get(f"/pool/account/{quote(name, safe='')}/")]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert all(escape(name) in answer.content.decode() for answer in answers)
    assert not any("<script>alert" in answer.content.decode() for answer in answers)


def test_a_practice_chain_says_how_few_hashes_are_tried(
    site: PoolSite, sign_in: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "data-practice" in sign_in().get("/pool/").content.decode()
    config = settings.CONFIG
    monkeypatch.setattr(settings, "CONFIG", dataclasses.replace(
        config, pool=dataclasses.replace(config.pool, network="mainnet")
    ))  # fmt: skip
    assert "data-practice" not in sign_in().get("/pool/").content.decode()
