"""Requests of machines whose web gives a token for a password: fetched when first needed, and anew when it has died."""

from collections.abc import Awaitable, Callable

from mbongi.fleet.adapters.session import WORDS_MAX, Session
from mbongi.fleet.device_errors import DeniedError, GarbledError, MissingPageError, RejectedError
from mbongi.wire.http1 import Response

Login = Callable[[Session], Awaitable[str]]
"""Gives what the machine wants to see in ``Authorization``. Raises DeniedError where our password is not accepted."""


async def exchange(session: Session, method: str, target: str, body: bytes | None = None, *, login: Login) -> Response:
    """Send a request with the machine's token and take a response with status 2xx.

    Raises DeniedError, MissingPageError, RejectedError with the machine's words, GarbledError for other statuses, and
    what the connection raises.
    """
    fresh = not session.token
    if fresh:
        session.token = await login(session)
    response = await session.send(method, target, body, token=session.token)
    if response.status == 401 and not fresh:
        session.token = await login(session)
        response = await session.send(method, target, body, token=session.token)
    checked(session, method, target, response)
    session.takes_password = True
    return response


def checked(session: Session, method: str, target: str, response: Response) -> Response:
    """The response, if the machine did what was asked."""
    where = f"{session.address}: {method} {target}: HTTP {response.status}"
    if 200 <= response.status < 300:
        return response
    if response.status in {401, 403}:
        session.token, session.takes_password = "", False
        raise DeniedError(f"{where}: the password is not accepted")
    if response.status in {404, 405, 501}:
        raise MissingPageError(f"{where}: no such page")
    if response.status in {400, 409, 422, 429, 500}:
        words = response.body[:WORDS_MAX].decode("utf-8", "replace").strip()
        raise RejectedError(f"{where}: the machine answered {words or 'nothing more'}")
    raise GarbledError(f"{where}; expected 200")
