"""The pages of the plant's alarms: what stands, one alarm, journal, list, rates, who is told; and who may do what."""

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from mbongi.core.identity.scope import SITE, acting
from mbongi.core.identity.values import Role
from mbongi.facility import alarm_rows
from mbongi.facility.models import Alarm
from mbongi.facility.rules.alarm_state import State
from tests.facility.alarm_bed import UP, Bed

pytestmark = pytest.mark.django_db
PAGES = ("/alarms/", "/alarms/journal/", "/alarms/list/", "/alarms/rates/", "/alarms/told/")


@pytest.fixture
def bed(people):
    with acting(SITE):
        made = Bed(people(Role.SHIFT_LEAD))
        made.step(0, ("trip", "tr-1", UP, 0), ("dark", "rack-1", UP, 1), ("dark", "rack-2", UP, 1))
        made.root = Alarm.objects.get(tag="tr-1")
        yield made


def state_of(alarm):
    with acting(SITE):
        alarm.refresh_from_db()
    return State(alarm.state)


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("language", ["fr", "en"])
def test_every_page_opens_empty_and_with_alarms(path, language, sign_in, people):
    browser = sign_in(Role.TRAINEE, language=language)
    assert browser.get(path).status_code == 200
    with acting(SITE):
        Bed(people(Role.SHIFT_LEAD)).step(0, ("trip", "tr-1", UP, 0), ("dark", "rack-1", UP, 1))
    answer = browser.get(path)
    assert answer.status_code == 200
    assert "Acknowledge</button>" not in answer.content.decode()


@pytest.mark.parametrize("path", PAGES)
def test_tenants_see_none_of_them(path, sign_in, tenant):
    with acting(SITE):
        north = tenant("north")
    assert sign_in(Role.TENANT, owner=north).get(path).status_code == 403


def test_the_list_shows_the_root_with_its_consequences_folded(bed, sign_in):
    page = sign_in(Role.TECHNICIAN, language="en").get("/alarms/").content.decode()
    assert page.count('class="title" href="/alarms/') == 1
    assert "2 consequences" in page
    assert "Look at the protection relay." in page


def test_an_alarm_is_acknowledged_by_its_own_button_and_all_that_are_shown_at_once(bed, sign_in):
    browser = sign_in(Role.TECHNICIAN)
    assert browser.post("/alarms/acknowledge/", {"only": bed.root.pk}).status_code == 302
    assert state_of(bed.root) is State.ACKNOWLEDGED
    with acting(SITE):
        bed.step(90, ("hot", "room-1", UP, 0), ("hot", "room-2", UP, 0))
    ids = list(Alarm.objects.filter(tag__startswith="room").values_list("pk", flat=True))
    browser.post("/alarms/acknowledge/", {"alarm": ids, "back": "list"})
    with acting(SITE):
        assert alarm_rows.counts().unanswered == 0


def test_shelving_asks_for_a_time_and_a_reason(bed, sign_in):
    browser, path = sign_in(Role.TECHNICIAN), f"/alarms/{bed.root.pk}/shelve/"
    assert 'name="minutes"' in browser.get(path).content.decode()
    browser.post(path, {"minutes": "15", "reason": ""})
    assert state_of(bed.root) is State.UNACKNOWLEDGED
    browser.post(path, {"minutes": "15", "reason": "relay under test"})
    assert state_of(bed.root) is State.SHELVED
    browser.post(f"/alarms/{bed.root.pk}/unshelve/")
    assert state_of(bed.root) is State.UNACKNOWLEDGED


def test_who_may_only_look_may_not_answer_and_who_may_answer_may_not_edit(bed, sign_in):
    assert sign_in(Role.TRAINEE).post("/alarms/acknowledge/", {"only": bed.root.pk}).status_code == 403
    technician = sign_in(Role.TECHNICIAN)
    assert technician.post(f"/alarms/{bed.root.pk}/suppress/", {"reason": "x"}).status_code == 403
    assert technician.post("/alarms/list/trip/remove/", {"reason": "x"}).status_code == 403
    assert technician.get("/alarms/told/rota.csv").status_code == 403
    assert state_of(bed.root) is State.UNACKNOWLEDGED


def test_the_list_goes_out_as_csv_and_comes_back_without_a_change(bed, sign_in):
    browser = sign_in(Role.SHIFT_LEAD, language="en")
    sheet = browser.get("/alarms/list/export.csv").content
    with acting(SITE):
        before = {row.key: row.document for row in alarm_rows.definitions()}
    file = SimpleUploadedFile("list.csv", sheet)
    page = browser.post("/alarms/list/import/", {"file": file, "reason": "back"}, follow=True).content.decode()
    assert "0 entries new or changed." in page
    with acting(SITE):
        assert {row.key: row.document for row in alarm_rows.definitions()} == before


@pytest.mark.parametrize(
    ("sheet", "told"),
    [
        (b"key,title,tag,quantity,limit\nx,X,a-*,q,much\n", "Line 2: “limit” cannot be read."),
        (b"key,colour\nx,red\n", "Unknown columns: colour."),
        (b"key,title,tag,quantity,limit,priority\nx,X,a-*,q,1,high\n", "x: these fields cannot be so: response."),
        (b"\xff\xfe\x00", "The file is not CSV in UTF-8."),
        (b"key\n", "The file has no rows, or too many."),
    ],
)
def test_a_sheet_that_cannot_be_entered_changes_nothing_and_says_why(sheet, told, bed, sign_in):
    browser = sign_in(Role.SHIFT_LEAD, language="en")
    answer = browser.post(
        "/alarms/list/import/", {"file": SimpleUploadedFile("l.csv", sheet), "reason": "try"}, follow=True
    )
    assert told in answer.content.decode()
    with acting(SITE):
        assert len(alarm_rows.definitions()) == 5


def test_a_rota_comes_in_as_csv_and_is_shown(bed, sign_in):
    sheet = (
        b"name,channel,address,days,begins,ends,after_min,priority,language\n"
        b"Awa,email,awa@site.example,12345,06:00,18:00,0,low,fr\nBen,sms,+242000,1234567,,,15,high,en\n"
    )
    browser = sign_in(Role.SHIFT_LEAD, language="en")
    file = SimpleUploadedFile("rota.csv", sheet)
    page = browser.post("/alarms/told/import/", {"file": file, "reason": "the rota"}, follow=True).content.decode()
    assert "After 15 min without an answer" in page
    assert "awa@site.example" in page
    assert "awa@site.example" not in sign_in(Role.TRAINEE).get("/alarms/told/").content.decode()


def test_one_alarm_says_what_to_do_and_what_happened(bed, sign_in):
    page = sign_in(Role.TECHNICIAN, language="en").get(f"/alarms/{bed.root.pk}/").content.decode()
    for text in ("Look at the protection relay.", "2 consequences", "rose", "tr-1"):
        assert text in page
    assert sign_in(Role.TECHNICIAN).get("/alarms/999999/").status_code == 404
    assert sign_in(Role.TECHNICIAN).get("/alarms/list/trip/").status_code == 200
