"""Chromium, driven by Playwright: what a person sees."""

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WAIT_MS = 20_000


def program() -> str:
    """Chromium's path. Fails with the cure where there is none: these tests are never left out."""
    for name in PROGRAMS:
        if path := shutil.which(name):
            return path
    raise AssertionError("Chromium is missing; install it (Debian: apt install chromium) and run this again")


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """The browser, closed at the end."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program(), args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Visit:
    """One person at one window, and what the window complained of or asked of others."""

    page: Page
    origin: str
    complaints: list[str] = field(default_factory=list)
    requests_elsewhere: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.set_default_timeout(WAIT_MS)
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", self._request)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(f"{self.page.url}: {message.text}")

    def _request(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme in {"http", "https", "ws", "wss"} and f"{parts.scheme}://{parts.netloc}" != self.origin:
            self.requests_elsewhere.append(request.url)

    def go(self, path: str) -> Page:
        """Open a page of the site."""
        answer = self.page.goto(path if path.startswith("http") else self.origin + path)
        assert answer is not None
        assert answer.ok, f"{path}: status {answer.status}"
        return self.page
