"""Makes pictures of every page of a running control room, for the README and for looking at what was changed."""

import argparse
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mbongi.base.config import Config
from mbongi.base.errors import MbongiError
from mbongi.run.database import use_database

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)
SIZES = {"desk": (1440, 900), "phone": (390, 844)}
SETTLE_MS = 2500
"""Time for the stream and the charts to fill a page."""
PAGE_MS_MAX = 30_000
PAGES = {
    "overview": "/",
    "floor": "/floor/",
    "machines": "/machines/",
    "machine": "",
    "groups": "/fleet/groups/",
    "group": "",
    "operations": "/fleet/operations/",
    "operation": "",
    "curtailment": "/fleet/curtailment/",
    "curtailment-rehearsal": "/fleet/curtailment/rehearsal/?by=pct&value=40&within=2&within_unit=min",
    "curtailment-trigger": "/fleet/curtailment/triggers/new/",
    "pollers": "/fleet/pollers/",
    "pool": "/pool/",
    "pool-workers": "/pool/workers/",
    "pool-worker": "",
    "pool-accounts": "/pool/accounts/",
    "pool-account": "",
    "pool-blocks": "/pool/blocks/",
    "pool-block": "",
    "pool-payouts": "/pool/payouts/",
    "pool-payout": "",
    "work": "/workshop/",
    "work-list": "/workshop/list/",
    "work-stock": "/workshop/stock/",
    "work-statistics": "/workshop/statistics/",
    "work-labels": "/workshop/labels/",
    "work-phone": "/workshop/phone/",
    "events": "/events/",
    "ledger": "/ledger/",
    "people": "/people/",
    "tokens": "/tokens/",
    "api": "/api/v1/docs/",
    "more": "/more/",
    "account": "/account/",
    "security": "/account/2fa/",
    "missing": "/no-such-page/",
}


FIRST_OF = {
    "group": "/fleet/groups/",
    "operation": "/fleet/operations/",
    "machine": "/machines/?sort=-hashrate_ths",
    "pool-worker": "/pool/workers/",
    "pool-account": "/pool/accounts/",
    "pool-block": "/pool/blocks/",
    "pool-payout": "/pool/payouts/",
}
"""Where the first row of a list leads to."""


class PicturesError(MbongiError, RuntimeError):
    """The pictures cannot be made."""


@dataclass(frozen=True, slots=True)
class Look:
    """One way to see a page."""

    size: str
    language: str
    theme: str

    @property
    def name(self) -> str:
        """The part of the file's name that says so."""
        return f"{self.size}-{self.language}-{self.theme}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    parser.add_argument("--out", type=Path, default=Path("docs/pictures"))
    parser.add_argument("--url", default="", help="the control room; by default the configured one")
    parser.add_argument("--email", default="", help="sign in as this account; by default a temporary one")
    parser.add_argument("--password", default="", help="its password; better in MBONGI_PASSWORD")
    parser.add_argument("--pages", nargs="*", choices=[*PAGES, "login"], default=[*PAGES, "login"])
    parser.add_argument("--sizes", nargs="*", choices=list(SIZES), default=list(SIZES))
    parser.add_argument("--languages", nargs="*", choices=["fr", "en"], default=["fr", "en"])
    parser.add_argument("--themes", nargs="*", choices=["light", "dark"], default=["light", "dark"])
    parser.add_argument("--whole", action="store_true", help="the whole page, not only the first screen")


def main(config: Config, arguments: argparse.Namespace) -> int:
    """Make the pictures and print their paths."""
    browser_path = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser_path is None:
        raise PicturesError("Chromium is missing; install it (Debian: apt install chromium)")
    try:
        from playwright.sync_api import sync_playwright  # noqa: PLC0415 -- of the development extra
    except ImportError as error:
        raise PicturesError("playwright is missing; run ./mbongi test once, which installs it") from error
    url = (arguments.url or f"http://localhost:{config.web.port}").rstrip("/")
    arguments.out.mkdir(parents=True, exist_ok=True)
    with _account(arguments) as (email, password), sync_playwright() as play:
        browser = play.chromium.launch(executable_path=browser_path, args=list(FLAGS))
        for look in _looks(arguments):
            for path in _take(browser, url, look, arguments, email, password):
                print(path)
        browser.close()
    return 0


def _looks(arguments: argparse.Namespace) -> Iterator[Look]:
    for size in arguments.sizes:
        for language in arguments.languages:
            for theme in arguments.themes:
                yield Look(size, language, theme)


def _take(
    browser: Any, url: str, look: Look, arguments: argparse.Namespace, email: str, password: str
) -> Iterator[Path]:
    width, height = SIZES[look.size]
    context = browser.new_context(
        viewport={"width": width, "height": height},
        locale={"fr": "fr-FR", "en": "en-GB"}[look.language],
        color_scheme=look.theme,
        reduced_motion="reduce",
        is_mobile=look.size == "phone",
        has_touch=look.size == "phone",
    )
    context.add_cookies([
        {"name": "django_language", "value": look.language, "url": url},
        {"name": "mbongi_theme", "value": look.theme, "url": url},
    ])  # fmt: skip
    page = context.new_page()
    page.set_default_timeout(PAGE_MS_MAX)
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(f"{url}/account/login/")
    if "login" in arguments.pages:
        yield _picture(page, arguments, "login", look)
    page.fill("input[name=login]", email)
    page.fill("input[name=password]", password)
    page.press("input[name=password]", "Enter")
    page.wait_for_url(f"{url}/")
    for name in (name for name in PAGES if name in arguments.pages):
        page.goto(url + (PAGES[name] or _first_of(page, url, name)))
        page.wait_for_timeout(SETTLE_MS)
        yield _picture(page, arguments, name, look)
    for problem in dict.fromkeys(problems):
        if "404" not in problem:
            print(f"  {look.name}: the browser says: {problem}")
    context.close()


def _first_of(page: Any, url: str, name: str) -> str:
    page.goto(url + FIRST_OF[name])
    link = page.query_selector("td.key a")
    return FIRST_OF[name] if link is None else str(link.get_attribute("href"))


def _picture(page: Any, arguments: argparse.Namespace, name: str, look: Look) -> Path:
    path: Path = arguments.out / f"{name}-{look.name}.png"
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    if wide > 0:
        print(f"  {path.name}: {wide} px wider than the screen")
    page.screenshot(path=str(path), full_page=arguments.whole)
    return path


@contextmanager
def _account(arguments: argparse.Namespace) -> Iterator[tuple[str, str]]:
    """The given account, or one that exists while the pictures are made."""
    if arguments.email:
        yield arguments.email, arguments.password or os.environ.get("MBONGI_PASSWORD", "")
        return
    use_database()
    from mbongi.core.identity.scope import SITE, acting  # noqa: PLC0415 -- Django must be set up first
    from mbongi.core.identity.temporary import temporary_account  # noqa: PLC0415

    password = secrets.token_urlsafe(16)
    with acting(SITE), temporary_account(f"pictures-{secrets.token_hex(4)}@example.org", password) as user:
        yield user.email, password
