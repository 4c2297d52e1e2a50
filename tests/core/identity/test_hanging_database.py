"""A database that hangs is as good as away for a process that does not wait for ever: the pages' process is one."""

import socket
from collections.abc import Iterator

import pytest
from django.db import OperationalError, connection

from mbongi.core.identity.postgresql.base import DatabaseWrapper


@pytest.fixture
def limited(db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[DatabaseWrapper]:
    monkeypatch.setattr(DatabaseWrapper, "answer_s_max", 2.0)
    made = DatabaseWrapper(dict(connection.settings_dict))
    yield made
    made.close()


def ask(database: DatabaseWrapper, statement: str) -> object:
    with database.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchone()[0]


def test_an_answer_that_does_not_come_ends_the_connection_and_the_next_question_gets_its_own(
    limited: DatabaseWrapper,
) -> None:
    with pytest.raises(OperationalError, match="no answer within 2 s"):
        ask(limited, "SELECT 1, pg_sleep(3)")  # no longer: a database that is still asked cannot be removed
    former = limited.connection
    limited.close_if_unusable_or_obsolete()

    assert former is not None
    assert former.closed
    assert ask(limited, "SELECT 2") == 2


def test_an_error_of_a_statement_leaves_the_connection_as_it_is(limited: DatabaseWrapper) -> None:
    with pytest.raises(OperationalError, match="statement timeout"):
        ask(limited, "SET statement_timeout = 20; SELECT pg_sleep(60)")

    assert limited.connection is not None
    assert not limited.connection.closed
    assert ask(limited, "SELECT 3") == 3


def test_a_server_that_takes_no_connection_is_not_waited_for(limited: DatabaseWrapper) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        limited.settings_dict |= {"HOST": "127.0.0.1", "PORT": silent.getsockname()[1]}
        with pytest.raises(OperationalError, match="timeout"):
            limited.ensure_connection()


def test_other_processes_wait_as_long_as_it_takes() -> None:
    assert DatabaseWrapper.answer_s_max is None
