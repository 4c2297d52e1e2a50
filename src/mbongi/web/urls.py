"""Every address of the control room."""

from collections.abc import Callable

from allauth.account import views as account_views
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import URLPattern, include, path
from django.views.i18n import set_language

from mbongi.web import metrics
from mbongi.web.api import dispatch, document
from mbongi.web.live.view import live
from mbongi.web.pages import (
    actions,
    alarm_lists,
    alarms,
    bulk,
    campaigns,
    curtailment,
    energy,
    events,
    facility,
    facility_devices,
    facility_edit,
    facility_import,
    facility_outage,
    facility_pictures,
    firmware,
    fleet_drift,
    fleet_groups,
    fleet_healing,
    fleet_operations,
    fleet_pollers,
    fleet_profiles,
    floor,
    hosting,
    hosting_excuses,
    hosting_statements,
    inventory,
    labels,
    ledger,
    machine,
    machines,
    onboarding,
    overview,
    people,
    pool,
    pool_books,
    pool_payouts,
    pool_statement,
    procedures,
    start,
    tokens,
    work,
    work_phone,
    work_stock,
)


def healthz(_request: HttpRequest) -> HttpResponse:
    """Whether this process answers; says nothing of anything else."""
    return HttpResponse("ok\n", content_type="text/plain; charset=utf-8")


def _downloads(name: str, view: Callable[..., HttpResponseBase]) -> list[URLPattern]:
    return [path(f"{name}/export.{kind}", view, {"kind": kind}) for kind in ("csv", "json")]


def _pool() -> list[URLPattern]:
    return [
        path("pool/", pool.overview, name="pool"),
        path("pool/record/", pool.record),
        path("pool/workers/", pool.workers),
        *_downloads("pool/workers", pool.export),
        path("pool/worker/", pool.worker),
        path("pool/accounts/", pool_books.accounts),
        path("pool/account/<path:name>/series.json", pool_books.account_series),
        path("pool/account/<path:name>/", pool_books.account),
        path("pool/blocks/", pool_books.blocks),
        path("pool/blocks/<str:hash_>/", pool_books.block),
        *_downloads("pool/blocks/<str:hash_>", pool_books.window_export),
        path("pool/proof/", pool_books.proof),
        path("pool/payouts/", pool_payouts.payouts),
        path("pool/payouts/<int:payment_id>/", pool_payouts.payout),
        path("pool/payouts/<int:payment_id>/approve/", pool_payouts.approve),
        path("pool/payouts/<int:payment_id>/export/", pool_payouts.export),
        path("pool/payouts/<int:payment_id>/import/", pool_payouts.bring_back),
        path("pool/payouts/<int:payment_id>/cancel/", pool_payouts.cancel),
        path("pool/address/", pool_payouts.set_address),
        path(f"pool/{pool_books.VERIFIER}", pool_books.verifier),
        path("pool/statement.json", pool_statement.statement),
    ]


def _facility() -> list[URLPattern]:
    return [
        path("facility/devices/", facility_devices.device_list, name="devices"),
        path("facility/devices/new/", facility_devices.edit),
        path("facility/devices/new/save/", facility_devices.save),
        path("facility/devices/new/try/", facility_devices.try_now),
        path("facility/devices/<int:device_id>/", facility_devices.device),
        path("facility/devices/<int:device_id>/edit/", facility_devices.edit),
        path("facility/devices/<int:device_id>/save/", facility_devices.save),
        path("facility/devices/<int:device_id>/try/", facility_devices.try_now),
        path("facility/devices/<int:device_id>/remove/", facility_devices.remove),
        path("facility/devices/<int:device_id>/cap/", facility_devices.cap),
    ]


def _energy() -> list[URLPattern]:
    return [
        path("energy/", energy.dispatch, name="energy"),
        path("energy/plan.json", energy.plan),
        path("energy/figures/", energy.figures),
        path("energy/supply/", energy.supply),
        path("energy/supply/<int:version_id>/approve/", energy.approve),
        path("energy/switch/<str:word>/", energy.switch),
    ]


def _curtailment() -> list[URLPattern]:
    return [
        path("fleet/curtailment/", curtailment.console, name="curtailment"),
        path("fleet/curtailment/course.json", curtailment.course),
        path("fleet/curtailment/rehearsal/", curtailment.rehearsal),
        path("fleet/curtailment/begin/", curtailment.begin),
        path("fleet/curtailment/wake-left/", curtailment.wake_left),
        path("fleet/curtailment/<int:operation_id>/end/", curtailment.end),
        path("fleet/curtailment/ask/<str:what>/<int:number>/", curtailment.ask),
        path("fleet/curtailment/triggers/new/", curtailment.trigger),
        path("fleet/curtailment/triggers/<int:trigger_id>/", curtailment.trigger),
        path("fleet/curtailment/triggers/<int:trigger_id>/<str:verb>/", curtailment.trigger_act),
    ]


def _procedures() -> list[URLPattern]:
    return [
        path("procedures/", procedures.procedure_list, name="procedures"),
        path("procedures/write/", procedures.write),
        path("procedures/version/<int:version_id>/", procedures.version),
        *(
            path(f"procedures/version/<int:version_id>/{verb}/", procedures.decide, {"verb": verb})
            for verb in ("approve", "refuse", "start")
        ),
        path("procedures/run/<int:run_id>/", procedures.run),
        *(
            path(f"procedures/run/<int:run_id>/{verb}/", procedures.act, {"verb": verb})
            for verb in ("sign", "back-out", "unlock")
        ),
    ]


def _plant() -> list[URLPattern]:
    return [
        path("facility/", facility.overview, name="facility"),
        path("facility/element/", facility.element),
        path("facility/edit/", facility_edit.edit),
        path("facility/remove/", facility_edit.remove),
        path("facility/what-if/", facility_outage.outage),
        path("facility/one-line/", facility_pictures.one_line),
        path("facility/plan/", facility_pictures.plan),
        path("facility/import/", facility_import.imports),
        path("facility/import/new/", facility_import.hand_in),
        path("facility/import/<int:number>/", facility_import.dry_run),
        path("facility/import/<int:number>/enter/", facility_import.enter),
        path("facility/export/<str:form>/<str:name>.csv", facility_import.export),
    ]


def _work() -> list[URLPattern]:
    return [
        path("workshop/", work.board, name="work"),
        path("workshop/list/", work.orders),
        *_downloads("workshop/list", work.export),
        path("workshop/new/", work.new),
        path("workshop/<int:order_id>/", work.order),
        path("workshop/<int:order_id>/enter/", work.enter),
        path("workshop/stock/", work_stock.stock),
        path("workshop/stock/<int:part_id>/", work_stock.part),
        path("workshop/statistics/", work.statistics),
        path("workshop/labels/", work.labels),
        path("workshop/phone/", work_phone.phone),
        path("workshop/phone/worker.js", work_phone.worker),
        path("workshop/phone/site.json", work_phone.site),
        path("workshop/phone/entries.json", work_phone.entries),
    ]


def _onboarding() -> list[URLPattern]:
    return [
        path("fleet/onboarding/", onboarding.onboarding, name="onboarding"),
        path("fleet/onboarding/rotate/", onboarding.rotate),
        path("fleet/onboarding/walk/", onboarding.walk),
        path("fleet/onboarding/walk/to/", onboarding.walk_to),
        path("fleet/onboarding/place/", onboarding.place),
        path("fleet/onboarding/netbox/", inventory.netbox),
        path("fleet/onboarding/netbox/new/", inventory.hand_in),
        path("fleet/onboarding/netbox/<int:listing_id>/", inventory.dry_run),
        path("fleet/onboarding/netbox/<int:listing_id>/enter/", inventory.enter),
        path("fleet/onboarding/netbox/<str:kind>.<str:form>", inventory.export),
        path("workshop/labels.pdf", labels.sheet),
        path("fleet/onboarding/placements/<int:placement_id>/undo/", onboarding.undo),
    ]


def _fleet() -> list[URLPattern]:
    return [
        path("machines/bulk/", bulk.bulk_page),
        path("machines/views/", bulk.keep_view),
        path("machines/views/<int:view_id>/remove/", bulk.remove_view),
        path("fleet/groups/", fleet_groups.group_list, name="groups"),
        path("fleet/groups/add/", fleet_groups.add),
        path("fleet/groups/<int:group_id>/", fleet_groups.group),
        path("fleet/groups/<int:group_id>/change/", fleet_groups.change),
        path("fleet/groups/<int:group_id>/standing/", fleet_groups.standing),
        path("fleet/groups/<int:group_id>/profile/", fleet_profiles.edit),
        path("fleet/groups/<int:group_id>/diff/", fleet_profiles.diff),
        path("fleet/groups/<int:group_id>/rehearsal/", fleet_profiles.rehearsal),
        path("fleet/moves/<int:move_id>/<str:verb>/", fleet_groups.decide_move),
        path("fleet/profiles/<int:profile_id>/", fleet_profiles.version),
        path("fleet/profiles/<int:profile_id>/<str:verb>/", fleet_profiles.decide),
        path("fleet/pollers/", fleet_pollers.pollers, name="pollers"),
        path("fleet/firmware/", firmware.firmware, name="firmware"),
        path("fleet/firmware/keys/", firmware.add_key),
        path("fleet/firmware/keys/<int:key_id>/remove/", firmware.remove_key),
        path("fleet/firmware/<int:image_id>/remove/", firmware.remove),
        path("fleet/campaigns/", campaigns.campaign_list, name="campaigns"),
        path("fleet/campaigns/new/", campaigns.new),
        path("fleet/campaigns/<int:operation_id>/", campaigns.campaign),
        path("fleet/campaigns/<int:operation_id>/figures.json", campaigns.figures),
        path("fleet/campaigns/<int:operation_id>/<str:verb>/", campaigns.act),
        path("fleet/operations/", fleet_operations.operation_list, name="operations"),
        path("fleet/operations/<int:operation_id>/", fleet_operations.operation),
        path("fleet/operations/<int:operation_id>/<str:verb>/", fleet_operations.act),
    ]


def _hosting() -> list[URLPattern]:
    words = ("approve", "refuse")
    return [
        path("hosting/", hosting.overview, name="hosting"),
        path("hosting/new/", hosting.write),
        path("hosting/<int:contract_id>/", hosting.contract),
        path("hosting/<int:contract_id>/write/", hosting.write),
        *(path(f"hosting/versions/<int:version_id>/{word}/", hosting.decide, {"word": word}) for word in words),
        path("hosting/excuses/", hosting_excuses.excuses),
        *(path(f"hosting/excuses/<int:excuse_id>/{word}/", hosting_excuses.decide, {"word": word}) for word in words),
        path("hosting/statements/", hosting_statements.month),
        path("hosting/statements/close/", hosting_statements.close),
        path("hosting/statements/<str:month>.zip", hosting_statements.download_all),
        path("hosting/closings/<int:closing_id>/", hosting_statements.progress),
        *(
            path(f"hosting/statements/<int:statement_id>/statement.{kind}", hosting_statements.download, {"kind": kind})
            for kind in hosting_statements.KINDS
        ),
    ]


def _healing() -> list[URLPattern]:
    return [
        path("fleet/healing/", fleet_healing.rules, name="healing"),
        path("fleet/healing/new/", fleet_healing.edit),
        path("fleet/healing/attempts/", fleet_healing.attempts),
        path("fleet/healing/replays/", fleet_healing.ask),
        path("fleet/healing/replays/<int:replay_id>/", fleet_healing.replay),
        path("fleet/healing/<int:rule_id>/", fleet_healing.rule),
        path("fleet/healing/<int:rule_id>/edit/", fleet_healing.edit),
        path("fleet/healing/<int:rule_id>/<str:verb>/", fleet_healing.act),
    ]


def _alarms() -> list[URLPattern]:
    return [
        path("alarms/", alarms.standing, name="alarms"),
        path("alarms/acknowledge/", alarms.acknowledge),
        path("alarms/journal/", alarm_lists.journal),
        *_downloads("alarms/journal", alarm_lists.export_journal),
        path("alarms/list/", alarm_lists.definitions),
        path("alarms/list/export.csv", alarm_lists.export_definitions),
        path("alarms/list/import/", alarm_lists.import_definitions),
        path("alarms/list/<str:key>/", alarm_lists.definition),
        path("alarms/list/<str:key>/<str:verb>/", alarm_lists.act),
        path("alarms/rates/", alarm_lists.rates),
        path("alarms/told/", alarm_lists.told),
        path("alarms/told/rota.csv", alarm_lists.export_rota),
        path("alarms/told/import/", alarm_lists.import_rota),
        path("alarms/<int:alarm_id>/", alarms.alarm),
        path("alarms/<int:alarm_id>/<str:verb>/", alarms.act),
    ]


urlpatterns = [
    path("", overview.overview, name="overview"),
    path("overview/alarms/", overview.alarms),
    *_alarms(),
    path("floor/", floor.floor, name="floor"),
    path("floor/layout.json", floor.layout),
    path("machines/", machines.machines, name="machines"),
    *_downloads("machines", machines.export),
    path("machines/<int:machine_id>/", machine.machine, name="machine"),
    path("machines/<int:machine_id>/record/", machine.machine_record),
    path("machines/<int:machine_id>/actions/<str:kind>/", actions.ask),
    path("actions/<int:action_id>/", actions.action_state),
    path("actions/<int:action_id>/approve/", actions.decide, {"decision": "approve"}),
    path("actions/<int:action_id>/refuse/", actions.decide, {"decision": "refuse"}),
    path("fleet/drift/", fleet_drift.drift, name="drift"),
    path("fleet/drift/series.json", fleet_drift.series),
    *_pool(),
    *_facility(),
    *_curtailment(),
    *_energy(),
    *_healing(),
    *_procedures(),
    *_plant(),
    *_work(),
    *_fleet(),
    *_onboarding(),
    *_hosting(),
    path("events/", events.events, name="events"),
    *_downloads("events", events.export),
    path("ledger/", ledger.ledger, name="ledger"),
    *_downloads("ledger", ledger.export),
    path("tokens/", tokens.tokens, name="tokens"),
    path("tokens/<int:token_id>/revoke/", tokens.revoke),
    path("people/", people.people, name="people"),
    path("people/invite/", people.invite),
    path("people/<int:user_id>/", people.person),
    path("people/invitations/<int:invitation_id>/withdraw/", people.withdraw),
    path("start/<str:token>", start.start, name="start"),
    path("more/", start.more, name="more"),
    path("theme/", start.theme, name="theme"),
    path("language/", set_language, name="set_language"),
    path("account/", start.account, name="account"),
    path("account/login/", account_views.login, name="account_login"),
    path("account/logout/", account_views.logout, name="account_logout"),
    path("account/inactive/", account_views.account_inactive, name="account_inactive"),
    path("account/signup/", account_views.signup, name="account_signup"),
    path("account/password/change/", account_views.password_change, name="account_change_password"),
    path("account/reauthenticate/", account_views.reauthenticate, name="account_reauthenticate"),
    path("account/2fa/", include("allauth.mfa.urls")),
    path("api/v1/openapi.json", document.openapi),
    path("api/v1/docs/", document.guide, name="docs"),
    path("api/v1/", include(dispatch.patterns())),
    path("metrics", metrics.metrics),
    path("live", live),
    path("healthz", healthz),
]

handler400 = "mbongi.web.pages.errors.bad_request"
handler403 = "mbongi.web.pages.errors.forbidden"
handler404 = "mbongi.web.pages.errors.not_found"
handler500 = "mbongi.web.pages.errors.failed"
