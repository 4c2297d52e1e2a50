"""What people read of a machine's state, in their language."""

import pytest
from django.utils import translation

from mbongi.fleet.healing_wording import refusal_text
from mbongi.fleet.hosting_wording import why_text
from mbongi.fleet.operation_wording import operation_text
from mbongi.fleet.rules.figures import verdict
from mbongi.fleet.values import EventKind
from mbongi.fleet.wording import event_text, reason_text


@pytest.mark.parametrize(
    ("reason", "french"),
    [
        ("no answer within 5 s", "aucune réponse en 5 s"),
        ("127.20.1.3: port 4028: connection refused", "le port 4028 refuse la connexion"),
        ("127.20.1.3: port 80: no answer to the connection", "le port 80 ne répond pas"),
        ("127.20.1.3: http response: it begins b'x'", "127.20.1.3: http response: it begins b'x'"),
        ("", ""),
    ],
)
def test_our_own_reasons_are_translated_and_quoted_ones_stay(reason: str, french: str) -> None:
    with translation.override("fr"):
        assert reason_text(reason) == french


@pytest.mark.parametrize(
    ("message", "french"),
    [
        ("left to others: action", "Laissée à d’autres : L’action de quelqu’un est en cours"),
        ("left to others: elsewhere", "left to others: elsewhere"),
        ("the condition lasts", "L’état dure."),
        (
            "stage 1: the gate found a regression: hashrate, rejects",
            "Étape 1 : le contrôle a trouvé une régression : Hachage, Taux de rejet.",
        ),
        (
            "my own words; rolled back: 3 machines, not: 0",
            "my own words Machines remises à l’état d’avant : 3 ; non remises : 0.",
        ),
        ("9 machines woken, 12.5 kWh not used", "9 machines réveillées, 12.5 kWh non consommés."),
        ("a person's reason", "a person's reason"),
    ],
)
def test_what_operations_say_of_themselves_is_translated_and_peoples_words_stay(message: str, french: str) -> None:
    with translation.override("fr"):
        assert operation_text(message) == french


def test_every_reason_of_the_rules_is_translated() -> None:
    verdicts = [
        verdict(hashrate_ths=rate, nominal_ths=100.0, uptime_s=uptime, warm_up_s=60.0, resting=False)
        for rate, uptime in ((float("nan"), 0.0), (0.0, 10.0), (0.0, 1_000.0))
    ]

    with translation.override("fr"):
        assert [reason_text(found.reason) for found in verdicts] == [
            "n’indique aucun hachage",
            "en mise en route",
            "répond et ne calcule pas",
        ]


def test_an_event_states_its_reason_in_the_readers_language() -> None:
    with translation.override("fr"):
        text = event_text(EventKind.UNKNOWN, "", {"reason": "no answer within 5 s"})
    assert text == "Pas de réponse lisible\u00a0: aucune réponse en 5 s."


@pytest.mark.parametrize(
    ("message", "french"),
    [
        ("healing rule 7: nobody has switched it on", "Personne ne l’a activée."),
        ("user:3: plan a heal: the role auditor does not permit it", "Celui qui l’a activée en dernier n’en a plus le"),
        ("plan a heal: 200 operations are not over", "Trop d’opérations sont en cours"),
        ("something else", "something else"),
    ],
)
def test_why_a_rule_begins_nothing_is_said_in_the_readers_language(message: str, french: str) -> None:
    with translation.override("fr"):
        assert refusal_text(message).startswith(french)


@pytest.mark.parametrize(
    ("message", "french"),
    [
        ("contract 7: 2026-11: no approved version governs it", "Aucune version approuvée"),
        ("close 2026-11 of contract 7: excuse 12 is proposed; decide on it first", "L’excuse 12"),
        ("close 2026-11 of contract 7: nothing differs from version 2", "Rien ne diffère de la version 2."),
        ("contract 7: not known", "contract 7: not known"),
    ],
)
def test_why_a_statement_could_not_be_made_is_said_in_the_readers_language(message: str, french: str) -> None:
    with translation.override("fr"):
        assert french in why_text(message)
