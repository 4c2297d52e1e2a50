"""Accounts, invitations and tokens."""

from datetime import timedelta

import pytest

from mbongi.base.clock import utc_now
from mbongi.core.identity import rules, selectors, services
from mbongi.core.identity.errors import AccountError, LinkError, NotPermittedError
from mbongi.core.identity.models import ApiToken, Invitation, User
from mbongi.core.identity.values import Permission, Role
from mbongi.core.ledger import selectors as ledger
from tests.conftest import PASSWORD

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("as_site")]


def token_of(path: str | None) -> str:
    assert path is not None
    assert path.startswith("/start/")
    return path.removeprefix("/start/")


def actions() -> list[str]:
    return [entry.action for entry in reversed(ledger.entries())]


class TestFirstAccount:
    def test_the_link_creates_a_site_manager_once(self) -> None:
        token = token_of(services.create_first_account_link())
        user = services.accept_first_account(token, "Ada@Example.ORG", "Ada", PASSWORD)
        assert (user.role, user.email) == (Role.SITE_MANAGER, "Ada@example.org")
        assert user.check_password(PASSWORD)
        assert user.password.startswith("argon2$argon2id$")
        with pytest.raises(LinkError):
            services.accept_first_account(token, "eve@example.org", "Eve", PASSWORD)
        assert services.create_first_account_link() is None
        assert actions() == ["identity.first_link.create", "identity.user.create"]

    def test_only_the_hash_of_the_link_is_stored(self) -> None:
        token = token_of(services.create_first_account_link())
        stored = bytes(Invitation.objects.get().token_hash)
        assert len(stored) == 32
        assert token.encode() not in stored

    def test_a_new_link_makes_the_former_one_useless(self) -> None:
        former = token_of(services.create_first_account_link())
        token_of(services.create_first_account_link())
        with pytest.raises(LinkError):
            services.accept_first_account(former, "ada@example.org", "Ada", PASSWORD)

    def test_an_expired_link_is_refused(self) -> None:
        token = token_of(services.create_first_account_link())
        Invitation.objects.update(expires_at=utc_now() - timedelta(seconds=1))
        with pytest.raises(LinkError):
            services.accept_first_account(token, "ada@example.org", "Ada", PASSWORD)

    def test_a_link_from_before_an_account_existed_is_refused(self, people) -> None:
        token = token_of(services.create_first_account_link())
        people(Role.TECHNICIAN)
        with pytest.raises(LinkError):
            services.accept_first_account(token, "eve@example.org", "Eve", PASSWORD)

    @pytest.mark.parametrize(
        ("email", "name", "password"),
        [("no address", "Ada", PASSWORD), ("a@example.org", " ", PASSWORD), ("a@example.org", "Ada", "1234567890")],
    )
    def test_what_is_refused_leaves_the_link_usable(self, email: str, name: str, password: str) -> None:
        token = token_of(services.create_first_account_link())
        with pytest.raises(AccountError) as refusal:
            services.accept_first_account(token, email, name, password)
        assert refusal.value.reasons
        assert services.accept_first_account(token, "ada@example.org", "Ada", PASSWORD).pk


class TestInvitations:
    def test_an_invitation_gives_its_address_and_role(self, people, tenant) -> None:
        north = tenant("north")
        invitation, path = services.invite(
            people(), email="t@example.org", role=Role.TENANT, tenant_id=north.pk, reason="contract 7"
        )
        user = services.accept_invitation(token_of(path), name="Tata", password=PASSWORD, email="other@example.org")
        assert (user.email, user.role, user.tenant_id) == ("t@example.org", Role.TENANT, north.pk)
        with pytest.raises(LinkError):
            services.accept_invitation(token_of(path), name="Tata", password=PASSWORD)
        assert ledger.entries(subject=f"invitation:{invitation.pk}")[0].reason == "contract 7"

    def test_a_withdrawn_invitation_is_useless(self, people) -> None:
        manager = people()
        invitation, path = services.invite(manager, email="t@example.org", role=Role.TECHNICIAN)
        services.withdraw_invitation(manager, invitation.pk)
        assert selectors.invitation_for(token_of(path)) is None
        with pytest.raises(LinkError):
            services.withdraw_invitation(manager, invitation.pk)

    def test_a_technician_invites_nobody_and_a_security_officer_no_site_manager(self, people) -> None:
        with pytest.raises(NotPermittedError):
            services.invite(people(Role.TECHNICIAN), email="t@example.org", role=Role.TRAINEE)
        with pytest.raises(NotPermittedError):
            services.invite(people(Role.SECURITY_OFFICER), email="t@example.org", role=Role.SITE_MANAGER)

    def test_a_taken_address_in_any_case_and_a_tenant_without_tenant_are_refused(self, people) -> None:
        manager = people(email="ada@example.org")
        with pytest.raises(AccountError):
            services.invite(manager, email="ADA@example.org", role=Role.TRAINEE)
        with pytest.raises(AccountError):
            services.invite(manager, email="t@example.org", role=Role.TENANT)


class TestChanges:
    def test_a_role_change_is_recorded_with_before_after_and_reason(self, people) -> None:
        manager, user = people(), people(Role.TRAINEE)
        services.change_account(manager, user.pk, role=Role.TECHNICIAN, reason="passed")
        entry = ledger.entries(subject=user.actor)[0]
        assert (entry.actor, entry.reason) == (manager.actor, "passed")
        assert (entry.before["role"], entry.after["role"]) == ("trainee", "technician")

    def test_a_closed_account_loses_its_tokens(self, people) -> None:
        manager, user = people(), people(Role.TECHNICIAN)
        secret = services.issue_token(user, "script", utc_now() + timedelta(days=1))
        services.change_account(manager, user.pk, active=False, reason="left")
        assert selectors.user_for_token(secret) is None
        services.change_account(manager, user.pk, active=True, reason="back")
        assert selectors.user_for_token(secret) is None

    def test_the_last_site_manager_stays(self, people) -> None:
        manager = people()
        with pytest.raises(AccountError, match="last site manager"):
            services.change_account(manager, manager.pk, active=False, reason="tired")
        with pytest.raises(AccountError, match="last site manager"):
            services.change_account(manager, manager.pk, role=Role.TRAINEE, reason="tired")
        manager.refresh_from_db()
        assert manager.is_active

    def test_a_security_officer_does_not_touch_a_site_manager(self, people) -> None:
        manager, officer = people(), people(Role.SECURITY_OFFICER)
        with pytest.raises(NotPermittedError):
            services.change_account(officer, manager.pk, active=False, reason="coup")
        with pytest.raises(NotPermittedError):
            services.change_account(officer, officer.pk, role=Role.SITE_MANAGER, reason="coup")


class TestTokens:
    def test_a_token_works_until_revoked_and_only_its_hash_is_stored(self, people) -> None:
        user = people(Role.SHIFT_LEAD)
        secret = services.issue_token(user, "script", utc_now() + timedelta(days=1))
        assert secret.startswith("mbg_")
        token = ApiToken.objects.get()
        assert secret not in str(vars(token))
        assert selectors.user_for_token(secret) == user
        assert services.revoke_token(user, token.pk)
        assert not services.revoke_token(user, token.pk)
        assert selectors.user_for_token(secret) is None
        assert actions() == ["identity.token.issue", "identity.token.revoke"]

    def test_a_token_permits_what_was_asked_and_never_more_than_the_role(self, people) -> None:
        secret = services.issue_token(
            people(Role.TECHNICIAN),
            "script",
            utc_now() + timedelta(days=1),
            [Permission.MACHINE_VIEW, Permission.ACCOUNT_MANAGE],
        )
        user = selectors.user_for_token(secret)
        assert user is not None
        assert user.may(Permission.MACHINE_VIEW)
        assert not user.may(Permission.MACHINE_CONTROL)
        assert not user.may(Permission.ACCOUNT_MANAGE)

    def test_an_expired_or_unknown_token_is_nobody(self, people) -> None:
        secret = services.issue_token(people(), "script", utc_now() + timedelta(days=1))
        ApiToken.objects.update(expires_at=utc_now())
        assert selectors.user_for_token(secret) is None
        assert selectors.user_for_token("") is None
        assert selectors.user_for_token("mbg_\ud800") is None

    @pytest.mark.parametrize(("name", "days"), [("", 1), ("script", -1), ("script", 400)])
    def test_a_token_without_name_or_with_an_odd_end_is_refused(self, people, name: str, days: int) -> None:
        with pytest.raises(AccountError):
            services.issue_token(people(), name, utc_now() + timedelta(days=days))

    def test_a_trainee_has_no_tokens(self, people) -> None:
        with pytest.raises(NotPermittedError):
            services.issue_token(people(Role.TRAINEE), "script", utc_now() + timedelta(days=1))


def test_every_role_and_permission_stands_in_the_table() -> None:
    header, *lines = rules.ROLES_CSV.read_text(encoding="utf-8").splitlines()
    assert header.split(",")[2:] == [role.value for role in Role]
    assert [line.split(",")[0] for line in lines] == [permission.value for permission in Permission]
    assert all(cell in {"yes", "no"} for line in lines for cell in line.split(",")[-len(Role) :])


def test_a_site_manager_may_control_and_an_auditor_may_only_look() -> None:
    assert rules.may(Role.SITE_MANAGER, Permission.MACHINE_CONTROL)
    assert rules.may(Role.AUDITOR, Permission.LEDGER_VIEW)
    assert not rules.may(Role.AUDITOR, Permission.MACHINE_CONTROL)
    assert not rules.may(Role.TENANT, Permission.LEDGER_VIEW)


def test_accounts_are_not_superusers(people) -> None:
    assert not hasattr(User(), "is_superuser")
    assert people(Role.TRAINEE).may(Permission.MACHINE_VIEW)
