"""What the pool's pages say to a newcomer, to an operator, and while parts of the site are away."""

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from django.utils import translation

from mbongi.base.clock import utc_now
from mbongi.core.identity.scope import SITE, acting
from mbongi.core.identity.values import Role
from mbongi.core.telemetry.errors import StoreUnavailable
from mbongi.pool import models, telemetry
from mbongi.pool.rules.proof import ShareTree
from mbongi.pool.values import PRACTICE_REASON, EntryKind, PaymentState
from mbongi.pool.windows import proof_secret
from mbongi.web import figures
from mbongi.web.live import pool_board
from mbongi.web.live.pool_board import STALE_S
from mbongi.web.pages import pool_payouts
from mbongi.web.templatetags.pool import luck_bar
from tests.web import pool_site
from tests.web.conftest import Pilot
from tests.web.pool_site import HASH, NORTH_WORKER, SITE_WORKER, WINDOW, PoolSite


def _true_root() -> str:
    tree = ShareTree(WINDOW, {SITE_WORKER: 2000, NORTH_WORKER: 1000}, proof_secret(settings.CONFIG.site.data_dir))
    with acting(SITE):
        models.Window.objects.update(root=tree.root.hex())
    return tree.root.hex()


def _run_as_told(client: Client, page: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Fetch what a page links to, and run the command that it shows, as a miner would."""
    text = client.get(page).content.decode()
    (folder / "verify_share_proof.py").write_bytes(client.get("/pool/verify_share_proof.py").content)
    url = f"/pool/proof/?window={WINDOW}&worker={NORTH_WORKER}"
    assert url.replace("&", "&amp;") in text
    (folder / "share-proof.json").write_bytes(client.get(url).content)
    command = text.partition("<pre>python3 ")[2].partition("</pre>")[0].split()
    return subprocess.run(
        [sys.executable, *command], cwd=folder, env={}, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("page", [f"/pool/blocks/{HASH}/", "/pool/account/north/"])
def test_the_verifier_runs_as_the_page_tells(
    page: str, site: PoolSite, pilot: Pilot, sign_in: Callable[..., Client], tmp_path: Path
) -> None:
    _true_root()
    found = _run_as_told(sign_in(Role.TENANT, owner=pilot.north), page, tmp_path)
    assert found.stdout.startswith(f"PROVEN: {NORTH_WORKER} has 1000 of the 3000 hashes")
    assert found.returncode == 0


def test_a_miner_without_an_account_checks_a_proof_where_pages_are_open(
    site: PoolSite, public: Callable[..., None], tmp_path: Path
) -> None:
    _true_root()
    url = f"/pool/proof/?window={WINDOW}&worker={NORTH_WORKER}"
    assert [Client().get(path).status_code for path in (url, "/pool/verify_share_proof.py")] == [302, 302]
    public(public_accounts=True)
    assert _run_as_told(Client(), "/pool/account/north/", tmp_path).returncode == 0
    (tmp_path / "share-proof.json").write_text(json.dumps({"format": "another"}), encoding="utf-8")
    assert Client().get(url.replace(NORTH_WORKER, "north.nobody")).status_code == 404
    assert Client().get(url.replace(NORTH_WORKER, ".unknown")).status_code == 302


def test_a_work_window_is_shown_whole_page_by_page(site: PoolSite, sign_in: Callable[..., Client]) -> None:
    now = utc_now()
    with acting(SITE):
        window = models.Window.objects.get()
        for number in range(60):
            worker = models.Worker.objects.create(
                account=site.site, name=f"site.w{number:02}", first_share_at=now, last_share_at=now, work=1, best=1.0
            )
            models.WindowLeaf.objects.create(window=window, worker=worker, work=100 - number)
    client = sign_in(language="en")
    first, second = (client.get(f"/pool/blocks/{HASH}/?page={page}").content.decode() for page in (1, 2))
    assert "1–50 of 62" in first
    assert "51–62 of 62" in second
    assert "site.w59" in second
    assert "site.w59" not in first
    assert len(client.get(f"/pool/blocks/{HASH}/export.json").json()["rows"]) == 62
    assert client.get(f"/pool/blocks/{HASH}/?page=x").status_code == 400
    assert client.get(f"/pool/blocks/{'0' * 64}/export.csv").status_code == 404
    told = client.get(f"/api/v1/pool/block?hash={HASH}&limit=10&offset=60").json()
    assert (len(told["shares"]), told["shares_total"], told["credits_total"]) == (2, 62, 2)


def test_a_tenants_download_of_a_window_holds_their_own_workers(
    site: PoolSite, pilot: Pilot, sign_in: Callable[..., Client]
) -> None:
    client = sign_in(Role.TENANT, owner=pilot.north)
    assert client.get(f"/pool/blocks/{HASH}/export.json").json()["rows"] == [
        {"worker": NORTH_WORKER, "work_hashes": "1000"}
    ]


@pytest.mark.parametrize("role", [Role.SECURITY_OFFICER, Role.SHIFT_LEAD])
def test_who_may_approve_or_propose_may_cancel_by_page_and_by_api_alike(
    role: Role, site: PoolSite, sign_in: Callable[..., Client]
) -> None:
    client = sign_in(role)
    with acting(SITE):
        rows = [pool_site.payment(sign_in().user, site.north) for _ in range(2)]
    assert b"/cancel/" in client.get(f"/pool/payouts/{rows[0].pk}/").content
    assert client.post(f"/pool/payouts/{rows[0].pk}/cancel/", {"reason": "an error"}).status_code == 302
    path = f"/api/v1/pool/payouts/{rows[1].pk}/cancel"
    answer = client.post(path, {"reason": "an error"}, "application/json")
    assert (answer.status_code, answer.json()["state"]) == (200, "cancelled")
    assert sign_in(Role.TECHNICIAN).post(path, {"reason": "x"}, "application/json").status_code == 403


def test_accounts_are_named_one_per_line_whatever_their_letters(
    site: PoolSite, sign_in: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, ...]] = []

    def note(_terms: object, wish: Any) -> None:
        asked.append(wish.accounts)

    monkeypatch.setattr(pool_payouts, "plan_payout", note)
    with acting(SITE):
        models.Account.objects.create(name="Ada, Ben & Co", added_at=utc_now())
    posted = {"step": "show", "accounts": "Ada, Ben & Co\r\n north \r\n\r\nnorth"}
    answer = sign_in(Role.SITE_MANAGER).post("/pool/payouts/", posted)
    assert answer.status_code == 200
    assert asked == [("Ada, Ben & Co", "north")]
    client = sign_in(Role.SITE_MANAGER, language="en")
    refused = client.post("/pool/payouts/", {"step": "show", "accounts": "north\nAda, Ben"})
    assert "No account is named “Ada, Ben”." in refused.content.decode()
    many = "\n".join(f"a{number}" for number in range(pool_payouts.ACCOUNTS_MAX + 1))
    refused = client.post("/pool/payouts/", {"step": "show", "accounts": many})
    assert "Name 1000 accounts at most" in refused.content.decode()
    assert len(asked) == 1


def test_nothing_to_pay_is_said_in_the_readers_language(site: PoolSite, sign_in: Callable[..., Client]) -> None:
    with acting(SITE):
        models.Account.objects.update(balance_sat=0)
    text = sign_in(Role.SITE_MANAGER, language="fr").post("/pool/payouts/", {"step": "show"}).content.decode()
    assert "Rien ne peut être payé maintenant" in text


def test_trouble_is_told_with_what_is_asked_for_again(site: PoolSite, sign_in: Callable[..., Client]) -> None:
    pool_site.speak(trouble="node 10.0.0.5:8332: no answer within 10 s")
    for path in ("/pool/", "/pool/record/"):
        text = sign_in(language="fr").get(path).content.decode()
        assert "nœud 10.0.0.5:8332: aucune réponse en 10 s" in text
        assert text.count('id="pool-notes"') == 1


def test_what_the_operator_put_in_is_not_called_earned(site: PoolSite, sign_in: Callable[..., Client]) -> None:
    with acting(SITE):
        own = models.Account.objects.create(name=".float", added_at=utc_now(), balance_sat=5)
        entry = models.Entry.objects.create(
            key="float:deposit:aa:0", kind=EntryKind.CREDIT, at=utc_now(), digest="0" * 64
        )
        models.EntryChange.objects.create(entry=entry, account=own, sat=5)
    text = sign_in(language="en").get("/pool/account/.float/").content.decode()
    assert "Put in" in text
    assert "Earned" not in text
    assert "No worker in the last day" not in text


def test_a_practice_payouts_reason_is_in_the_readers_language_and_a_persons_as_written(
    site: PoolSite, sign_in: Callable[..., Client]
) -> None:
    client = sign_in(language="fr")
    with acting(SITE):
        row = pool_site.payment(client.user, site.north)
    assert "November" in client.get("/pool/payouts/").content.decode()
    with acting(SITE):
        models.Payment.objects.update(reason=PRACTICE_REASON, proposed_by="practice:proposer", proposer=None)
    for page in ("/pool/payouts/", f"/pool/payouts/{row.pk}/"):
        text = client.get(page).content.decode()
        assert "les soldes sont payés" in text
        assert "personne d’exercice qui propose" in text
        assert "practice" not in text


@pytest.mark.parametrize(
    ("state", "done"),
    [(PaymentState.DRAFT, 1), (PaymentState.SIGNED, 3), (PaymentState.CONFIRMED, 5), (PaymentState.CANCELLED, 0)],
)
def test_a_payouts_way_shows_how_far_it_is(
    state: PaymentState, done: int, site: PoolSite, sign_in: Callable[..., Client]
) -> None:
    client = sign_in(language="en")
    with acting(SITE):
        row = pool_site.payment(client.user, site.north, state)
    text = client.get(f"/pool/payouts/{row.pk}/").content.decode()
    assert text.count('<li class="done"') == done
    assert text.count('aria-current="step"') == (1 if 0 < done < 5 else 0)


def test_a_silent_pools_figures_look_old(
    site: PoolSite, sign_in: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = sign_in()
    assert "stack is-silent" not in client.get("/pool/").content.decode()
    later = utc_now() + timedelta(seconds=STALE_S + 1)
    monkeypatch.setattr(pool_board, "utc_now", lambda: later)
    assert "stack is-silent" in client.get("/pool/").content.decode()


def test_what_cannot_be_read_is_called_unknown_and_never_none(
    site: PoolSite, sign_in: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any, **__: Any) -> None:
        raise StoreUnavailable("away")

    for name in ("totals", "workers", "rejects", "series"):
        monkeypatch.setattr(telemetry, name, away)
    client = sign_in(language="en")
    for page in ("/pool/", "/pool/workers/", "/pool/account/site/", f"/pool/worker/?name={SITE_WORKER}"):
        text = client.get(page).content.decode()
        assert "Not known at the moment" in text
        assert "No worker" not in text
        assert "No share yet" not in text


def test_a_newcomer_is_told_where_miners_connect(site: PoolSite, sign_in: Callable[..., Client]) -> None:
    text = sign_in(language="en").get("/pool/").content.decode()
    pool = settings.CONFIG.pool
    assert f"stratum+tcp://{pool.host}:{pool.port}" in text
    assert f"stratum2+tcp://{pool.host}:{pool.v2_port}/9" in text


@pytest.mark.parametrize(("asked", "told"), [("[::1]", "[::1]"), ("[::1]:8420", "[::1]"), ("localhost", "localhost")])
def test_a_pool_that_listens_everywhere_is_told_by_the_host_that_the_page_was_asked_of(
    site: PoolSite, sign_in: Callable[..., Client], monkeypatch: pytest.MonkeyPatch, asked: str, told: str
) -> None:
    config = settings.CONFIG
    everywhere = dataclasses.replace(config, pool=dataclasses.replace(config.pool, host="0.0.0.0"))
    monkeypatch.setattr(settings, "CONFIG", everywhere)
    text = sign_in(language="en").get("/pool/", headers={"host": asked}).content.decode()
    assert f"stratum+tcp://{told}:{config.pool.port}" in text


def test_a_stale_template_is_said(site: PoolSite, sign_in: Callable[..., Client]) -> None:
    pool_site.speak(template_stale=True)
    assert "no newer template for minutes" in sign_in(language="en").get("/pool/").content.decode()


def test_luck_is_drawn_from_the_middle_on_a_logarithmic_scale() -> None:
    assert 'class="good" x="50.0" y="0" width="50.0"' in luck_bar(20.0)
    assert 'class="good" x="50.0" y="0" width="16.7"' in luck_bar(2.0)
    assert 'class="bad" x="33.3" y="0" width="16.7"' in luck_bar(0.5)
    assert 'class="bad" x="0.0" y="0" width="50.0"' in luck_bar(0.01)


@pytest.mark.parametrize(
    ("value", "text"), [(0.000021, "2,1×10⁻⁵"), (0.0021, "0,0021"), (0.0, "0,00"), (-4e-4, "-4,0×10⁻⁴")]
)
def test_a_tiny_number_without_a_unit_is_a_power_of_ten(value: float, text: str) -> None:
    with translation.override("fr"):
        assert figures.scaled(value, "")[0] == text


def test_a_miners_page_is_found_by_the_address_that_is_paid(
    site: PoolSite, pilot: Pilot, sign_in: Callable[..., Client], public: Callable[..., None]
) -> None:
    address = site.north.payout_address
    for client in (sign_in(), sign_in(Role.TENANT, owner=pilot.north)):
        assert client.get(f"/pool/account/{address}/").headers["Location"] == "/pool/account/north/"
        assert "north" in client.get(f"/pool/accounts/?q={address}").content.decode()
        assert client.get(f"/pool/account/{address[:-1]}/").status_code == 404
    public(public_accounts=True)
    assert Client().get(f"/pool/account/{address}/").status_code == 404  # an address is no account's name


def test_a_window_whose_details_are_dropped_says_so(site: PoolSite, sign_in: Callable[..., Client]) -> None:
    client = sign_in(language="en")
    with acting(SITE):
        models.WindowLeaf.objects.all().delete()
    assert "None of your workers" in client.get(f"/pool/blocks/{HASH}/").content.decode()
    with acting(SITE):
        models.Window.objects.update(published_at=utc_now() - timedelta(days=settings.CONFIG.pool.proof_days + 1))
    text = client.get(f"/pool/blocks/{HASH}/").content.decode()
    assert "They stay for 400 days." in text
    assert "None of your workers" not in text


def test_a_public_page_has_the_words_by_which_its_scripts_tell_ages_and_local_time(
    site: PoolSite, public: Callable[..., None]
) -> None:
    public(public_accounts=True)
    text = Client(headers={"accept-language": "fr"}).get("/pool/account/north/").content.decode()
    words = json.loads(text.partition('<script id="words" type="application/json">')[2].partition("</script>")[0])
    assert words["timezone"] == "Africa/Brazzaville"
    assert words["ago"] == "il y a {age}"
