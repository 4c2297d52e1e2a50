"""Puts what allauth does with accounts into the ledger: sign-ins, passwords, second factors."""

from typing import Any

from allauth.account import signals as account
from allauth.mfa import signals as mfa
from django.contrib.auth import get_user_model
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.db import transaction

from mbongi.core.ledger import services as ledger
from mbongi.core.ledger.values import NewEntry


def connect() -> None:
    """Listen to every signal of an account change."""
    for signal, action in (
        (user_logged_in, "identity.sign_in"),
        (user_logged_out, "identity.sign_out"),
        (account.password_changed, "identity.password.change"),
        (account.password_set, "identity.password.set"),
        (account.password_reset, "identity.password.reset"),
        (account.email_added, "identity.email.add"),
        (account.email_changed, "identity.email.change"),
        (account.email_removed, "identity.email.remove"),
        (mfa.authenticator_added, "identity.factor.add"),
        (mfa.authenticator_removed, "identity.factor.remove"),
        (mfa.authenticator_reset, "identity.factor.renew"),
    ):
        signal.connect(_receiver(action), weak=False, dispatch_uid=f"mbongi.record.{action}")
    user_login_failed.connect(_record_failure, weak=False, dispatch_uid="mbongi.record.failure")


def _receiver(action: str) -> Any:
    def record(*, user: Any = None, authenticator: Any = None, **_: Any) -> None:
        if user is None:
            return
        after = None if authenticator is None else {"type": str(authenticator.type)}
        with transaction.atomic():
            entry = NewEntry(actor=user.actor, action=action, subject=user.actor, after=after, tenant_id=user.tenant_id)
            ledger.append([entry])

    return record


def _record_failure(*, credentials: dict[str, Any], **_: Any) -> None:
    """A failed sign-in against an existing account; the rate limit bounds how many there can be.

    What was typed is not recorded: people type passwords into the wrong field.
    """
    email = credentials.get("email") or credentials.get("username") or ""
    user = get_user_model().objects.filter(email__iexact=email).first()
    if user is not None:
        with transaction.atomic():
            ledger.append([NewEntry(actor="anonymous", action="identity.sign_in.fail", subject=user.actor)])
