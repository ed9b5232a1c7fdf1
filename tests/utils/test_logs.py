"""Progress lines reach whatever standard output is at the time, once, and only where somebody asked."""

import logging

import pytest

from vdsrlib.utils.logs import logger, mute_log, print_log


@pytest.fixture(autouse=True)
def as_before():
    level, handlers = logger.level, logger.handlers[:]
    logger.handlers.clear()
    logger.setLevel(logging.NOTSET)
    yield
    logger.setLevel(level)
    logger.handlers[:] = handlers


def test_silent_until_asked(capsys):
    logger.info("step 1")
    assert capsys.readouterr() == ("", "")


def test_each_message_once(capsys):
    print_log()
    print_log()
    logger.info("step 1")
    logger.debug("too much")
    assert capsys.readouterr() == ("step 1\n", "")


def test_muted(capsys):
    print_log()
    with mute_log():
        logger.info("step 1")
    logger.info("step 2")
    assert capsys.readouterr() == ("step 2\n", "")


def test_error_of_the_stream_is_the_callers(monkeypatch):
    def broken(_):
        raise BrokenPipeError

    print_log()
    monkeypatch.setattr("sys.stdout.write", broken)
    with pytest.raises(BrokenPipeError):
        logger.info("step 1")
