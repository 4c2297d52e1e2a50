"""A newcomer's first half hour in the control room, in a real browser, on a site that really runs.

The tests of this module are one story and run in their order.
"""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, expect

from tests.system.browser import WAIT_MS, Visit, chromium
from tests.system.running import FAST_S, TIMEOUT_S, RunningSite, until

pytestmark = [pytest.mark.system, pytest.mark.browser]

NAME, EMAIL, PASS_PHRASE = "Ada Makosso", "ada@example.org", "the river runs past the site"
ALIVE_MS = 30_000
ONE_POLL_MS = (2 * FAST_S + TIMEOUT_S + 4) * 1000
"""A poll may just have begun; the next one sees the fault, held up by it for the time limit; then comes the page."""

LOSE_FIRST_ANSWER = """
const ask = window.fetch;
window.fetch = async (...words) => {
  const answer = await ask(...words);
  if (String(words[0]).endsWith("entries.json") && !sessionStorage.lost) {
    sessionStorage.lost = document.documentElement.dataset.lost = "1";
    throw new TypeError("the answer is lost");
  }
  return answer;
};
"""

WORKER_RULES = """new Promise((resolve) => {
  const look = () => navigator.serviceWorker.controller && resolve(true);
  navigator.serviceWorker.addEventListener("controllerchange", look);
  look();
})"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def visit(browser: Browser, site: RunningSite) -> Iterator[Visit]:
    """One person's window, kept through the story."""
    context = browser.new_context(locale="en-GB", viewport={"width": 1440, "height": 900})
    yield Visit(context.new_page(), site.address)
    context.close()


@pytest.fixture
def stranger(browser: Browser, site: RunningSite) -> Iterator[Visit]:
    """Somebody else's window, signed in nowhere."""
    context = browser.new_context(locale="en-GB")
    yield Visit(context.new_page(), site.address)
    context.close()


def at(path: str) -> re.Pattern[str]:
    """The address of a page, whatever follows."""
    return re.compile(rf"^http://localhost:\d+{re.escape(path)}")


def state_of(visit: Visit, address: str) -> Locator:
    """Where the table of machines says a machine's state."""
    row = visit.page.locator("tr[data-machine]").filter(has_text=re.compile(rf"{re.escape(address)}(?!\d)"))
    return row.locator("[data-state]").first


def test_a_stranger_is_sent_to_the_sign_in(stranger: Visit) -> None:
    stranger.go("/machines/")

    expect(stranger.page).to_have_url(at("/account/login"))


def test_the_printed_link_makes_the_first_account_and_opens_the_control_room(visit: Visit, site: RunningSite) -> None:
    page = visit.go(site.first_link)
    page.fill("#name", NAME)
    page.fill("#email", EMAIL)
    page.fill("#password", PASS_PHRASE)
    page.click("button.primary")

    expect(page).to_have_url(re.compile(rf"{site.address}/(\?welcome)?$"))
    expect(page.locator(".who")).to_contain_text(NAME)


def test_the_machines_are_alive_within_half_a_minute(visit: Visit, site: RunningSite) -> None:
    page = visit.go("/machines/?state=mining")

    until(lambda: page.reload() and page.locator("tr[data-machine]").count() == site.machines, ALIVE_MS / 1000)
    expect(page.locator("tr[data-machine]").first).to_contain_text("127.")


def test_the_link_does_not_work_a_second_time(stranger: Visit, site: RunningSite) -> None:
    answer = stranger.page.goto(site.first_link)

    assert answer is not None
    assert answer.status in {404, 410}
    assert stranger.page.locator("#password").count() == 0


def test_one_signs_in_with_the_pass_phrase_and_not_with_another(stranger: Visit, site: RunningSite) -> None:
    page = stranger.go("/account/login/")
    page.fill("input[type=email]", EMAIL)
    page.fill("input[type=password]", "the river runs past the sea")
    page.click("button.primary")
    expect(page).to_have_url(at("/account/login"))

    page.fill("input[type=email]", EMAIL)
    page.fill("input[type=password]", PASS_PHRASE)
    page.click("button.primary")

    expect(page.locator(".who")).to_contain_text(NAME)


def test_a_machine_that_is_switched_off_shows_off_within_one_poll(visit: Visit, site: RunningSite) -> None:
    address = site.virtual_machines()[0]["address"]
    visit.go("/machines/")
    expect(state_of(visit, address)).to_have_attribute("data-state", "mining")

    site.fault(address, "off")

    expect(state_of(visit, address)).to_have_attribute("data-state", "off", timeout=ONE_POLL_MS)


def test_a_hung_machine_shows_unknown_within_one_poll(visit: Visit, site: RunningSite) -> None:
    address = site.virtual_machines()[1]["address"]
    page = visit.go("/machines/")
    expect(state_of(visit, address)).to_have_attribute("data-state", "mining")

    site.fault(address, "hung")

    expect(state_of(visit, address)).to_have_attribute("data-state", "unknown", timeout=ONE_POLL_MS)
    page.reload()
    expect(state_of(visit, address)).to_have_attribute("data-state", "unknown")


def test_mended_machines_mine_again(visit: Visit, site: RunningSite) -> None:
    faulty = [machine["address"] for machine in site.virtual_machines() if machine["fault"] != "none"]
    visit.go("/machines/")

    for address in faulty:
        site.fault(address, "none")

    for address in faulty:
        expect(state_of(visit, address)).to_have_attribute("data-state", "mining", timeout=60_000)


def test_the_pools_page_fills_by_itself_and_leads_to_its_workers(visit: Visit, site: RunningSite) -> None:
    page = visit.go("/pool/")
    expect(page.locator("[data-pool=workers]")).not_to_have_text(re.compile("^[0–]$"), timeout=60_000)
    expect(page.locator("[data-pool-stale]")).to_be_hidden()

    page = visit.go("/pool/workers/")

    until(lambda: page.reload() and page.locator("td.key a").count() > 0, 120)
    page.locator("td.key a").first.click()
    expect(page).to_have_url(at("/pool/worker/"))
    expect(page.locator("main .chart").first).to_be_visible()


def test_every_page_speaks_french_and_english(visit: Visit) -> None:
    page = visit.go("/")
    expect(page.locator("html")).to_have_attribute("lang", "en")
    expect(page.locator("h1")).to_have_text("Overview")

    page.locator("button[name=language][value=fr]").first.click()

    expect(page.locator("html")).to_have_attribute("lang", "fr")
    expect(page.locator("h1")).to_have_text("Aperçu")
    page.locator("button[name=language][value=en]").first.click()
    expect(page.locator("h1")).to_have_text("Overview")


def test_what_a_technician_enters_without_a_link_arrives_once(
    visit: Visit, browser: Browser, site: RunningSite
) -> None:
    context = browser.new_context(
        locale="en-GB", viewport={"width": 390, "height": 844}, storage_state=visit.page.context.storage_state()
    )
    page, phone = context.new_page(), f"{site.address}/workshop/phone/"
    page.set_default_timeout(WAIT_MS)
    status = page.locator("[data-phone-status]")
    page.goto(phone)
    expect(status).to_have_attribute("data-is", "online", timeout=WAIT_MS)
    page.evaluate(WORKER_RULES)

    context.set_offline(True)
    page.goto(f"{phone}?m=1")  # as a label's code opens it
    page.select_option("#fault", "cable")
    page.fill("#text", "plug loose")
    page.click("button.primary")
    expect(page.locator("[data-entry=waiting]")).to_have_count(1)
    page.goto(f"{phone}?m=1")  # the browser was closed in between
    page.locator("button.line").first.click()
    page.locator("[data-act=fix]").click()
    expect(status).to_have_attribute("data-waiting", "2")

    # The site takes the entries in, but its first answer is lost: the phone hands them in again.
    page.add_init_script(LOSE_FIRST_ANSWER)
    context.set_offline(False)
    page.goto(phone)
    expect(page.locator("html")).to_have_attribute("data-lost", "1", timeout=WAIT_MS)
    page.reload()
    expect(status).to_have_attribute("data-waiting", "0", timeout=WAIT_MS)

    orders = page.request.get(f"{site.address}/api/v1/work-orders?machine=1").json()
    assert [(one["fault"], one["note"], one["state"]) for one in orders["items"]] == [("cable", "plug loose", "fixed")]
    entries = page.request.get(f"{site.address}/api/v1/work-orders/{orders['items'][0]['id']}").json()["entries"]
    assert [one["kind"] for one in entries] == ["report", "fix"]
    context.close()


def test_where_the_browser_reads_no_codes_a_machine_is_found_by_what_its_label_says(
    visit: Visit, site: RunningSite
) -> None:
    visit.page.add_init_script("delete self.BarcodeDetector")  # as in most browsers on desks and on iPhones
    serial = visit.page.request.get(f"{site.address}/api/v1/machines/1").json()["serial"]
    page = visit.go("/fleet/onboarding/walk/?p=9-8-7")
    expect(page.locator("[data-scan]")).to_be_hidden()

    page.fill("#label", serial)
    page.locator("form").filter(has=page.locator("#label")).locator("button").click()

    expect(page.locator(".offer")).to_contain_text(serial)
    expect(page.locator(".offer button")).to_contain_text("09/08/07")
    page.locator("button[name=end]").click()
    expect(page).to_have_url(at("/fleet/onboarding/"))


@pytest.mark.parametrize("width", [1440, 390])
def test_no_page_complains_asks_others_or_runs_over_its_edge(visit: Visit, width: int) -> None:
    visit.page.set_viewport_size({"width": width, "height": 900})
    visit.complaints.clear()

    pool = ("/pool/", "/pool/workers/", "/pool/accounts/", "/pool/blocks/", "/pool/payouts/")
    work = (
        "/workshop/",
        "/workshop/list/",
        "/workshop/1/",
        "/workshop/stock/",
        "/workshop/statistics/",
        "/workshop/labels/",
    )
    for path in (
        "/",
        "/floor/",
        "/machines/",
        "/events/",
        "/ledger/",
        "/account/",
        "/tokens/",
        "/machines/1/",
        *pool,
        *work,
    ):
        page = visit.go(path)
        page.wait_for_load_state("load")
        over = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert over <= 0, f"{path} at {width} px: {over} px too wide"

    assert visit.complaints == []
    assert visit.requests_elsewhere == []
