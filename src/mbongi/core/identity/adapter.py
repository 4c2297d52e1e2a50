"""What Mbongi decides differently from allauth's defaults."""

from allauth.account.adapter import DefaultAccountAdapter
from allauth.mfa.adapter import DefaultMFAAdapter
from cryptography.fernet import Fernet
from django.conf import settings
from django.http import HttpRequest

from mbongi.base.keys import stored_key


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    """Nobody signs up by themselves: accounts come from the first link and from invitations."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:  # noqa: ARG002 -- allauth passes it
        """Never."""
        return False


class MfaAdapter(DefaultMFAAdapter):  # type: ignore[misc]
    """Second factors lie encrypted in the database, so that a stolen dump holds no usable one."""

    def encrypt(self, text: str) -> str:
        """Encrypt a TOTP seed or recovery seed with the site's key."""
        return self._cipher().encrypt(text.encode()).decode("ascii")

    def decrypt(self, encrypted_text: str) -> str:
        """The seed again."""
        return self._cipher().decrypt(encrypted_text.encode("ascii")).decode()

    @staticmethod
    def _cipher() -> Fernet:
        key_path = settings.CONFIG.site.data_dir / "secrets" / "factors.key"
        return Fernet(stored_key(key_path, Fernet.generate_key()))
