"""Changing a machine's password: which one it has now, the write, and the proof that the new one alone is accepted."""

from collections.abc import Awaitable, Callable

from mbongi.fleet.adapters.session import Session
from mbongi.fleet.adapters.verifying import carry_out
from mbongi.fleet.device_errors import DeniedError
from mbongi.fleet.ports import Outcome, PasswordChange
from mbongi.fleet.values import Family

Accepts = Callable[[Session], Awaitable[object]]
"""Does something harmless that the password is needed for. Raises DeniedError where it is not accepted."""
Send = Callable[[Session, str, str], Awaitable[object]]
"""Tells the machine its new password: session with the old one, the old one, the new one."""
_OLD, _NEW = {"password": "the former one"}, {"password": "the new one"}


async def change_password(
    session: Session, family: Family, change: PasswordChange, accepts: Accepts, send: Send, *, dry_run: bool
) -> Outcome:
    """Find the password that the machine has, replace it, and see that the new one is accepted and the old one not.

    Nothing of it is in the outcome. Raises DeniedError where the machine accepts none that is known.
    """
    known = [session.access.password(family), change.new, *change.known]
    present = await _present(session, family, list(dict.fromkeys(known)), accepts)
    old = _NEW if present == change.new else _OLD

    async def send_it() -> None:
        before = session.with_password(family, present)
        try:
            await send(before, present, change.new)
        finally:
            before.close()

    async def taken() -> bool:
        accepted = [await _is_accepted(session, family, word, accepts) for word in (change.new, present)]
        return accepted == [True, False]

    return await carry_out(session.address, (old, _NEW), send_it, taken, dry_run=dry_run)


async def _present(session: Session, family: Family, known: list[str], accepts: Accepts) -> str:
    for word in known:
        if await _is_accepted(session, family, word, accepts):
            return word
    raise DeniedError(f"{session.address}: password: the machine accepts none of the {len(known)} that are known")


async def _is_accepted(session: Session, family: Family, word: str, accepts: Accepts) -> bool:
    trial = session.with_password(family, word)
    try:
        await accepts(trial)
    except DeniedError:
        return False
    finally:
        trial.close()
    return True
