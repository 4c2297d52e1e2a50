"""Notices by e-mail, over the site's own SMTP relay."""

import smtplib
import ssl
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate
from typing import Literal

from mbongi.facility.errors import NoticeError
from mbongi.facility.rules.alarm_rota import Outgoing

TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class Mail:
    """Hands notices to an SMTP server; a message keeps its Message-ID when it is handed over twice."""

    host: str
    port: int
    sender: str
    user: str = ""
    password: str = ""
    security: Literal["none", "starttls", "tls"] = "starttls"

    def send(self, notice: Outgoing) -> None:
        """Raises NoticeError: final where the server refuses the receiver for good."""
        if not self.host or not self.sender:
            raise NoticeError("e-mail: alarms.smtp_host or alarms.smtp_from is not set", is_final=True)
        try:
            with self._connected() as server:
                server.send_message(self._message(notice))
        except smtplib.SMTPRecipientsRefused as error:
            codes = [code for code, _text in error.recipients.values()]
            raise NoticeError(f"{self.host}: receiver refused: {codes}", is_final=min(codes) >= 500) from error
        except smtplib.SMTPResponseException as error:
            # The server's text may repeat what was sent to it; its code says enough.
            raise NoticeError(f"{self.host}: answered {error.smtp_code}") from error
        except (OSError, smtplib.SMTPException, ValueError) as error:
            raise NoticeError(f"{self.host}: {type(error).__name__}") from error

    def _connected(self) -> smtplib.SMTP:
        if self.security == "tls":
            server: smtplib.SMTP = smtplib.SMTP_SSL(
                self.host, self.port, timeout=TIMEOUT_S, context=ssl.create_default_context()
            )
        else:
            server = smtplib.SMTP(self.host, self.port, timeout=TIMEOUT_S)
        try:
            if self.security == "starttls":
                server.starttls(context=ssl.create_default_context())
            if self.user:
                server.login(self.user, self.password)
        except BaseException:
            server.close()
            raise
        return server

    def _message(self, notice: Outgoing) -> EmailMessage:
        message = EmailMessage()
        message["From"], message["To"] = self.sender, notice.address
        message["Subject"] = " ".join(notice.subject.split())
        message["Date"] = formatdate(localtime=False)
        message["Message-ID"] = f"<{notice.key}@{self.sender.rpartition('@')[2]}>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(notice.text)
        return message
