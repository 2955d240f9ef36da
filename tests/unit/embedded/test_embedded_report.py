import io
import os

import pytest
from rich.console import Console

from embedded.report import Display, PipeReport, follow, step


@pytest.fixture
def pipe():
    return os.pipe()


def console(*, terminal=False):
    return Console(file=io.StringIO(), force_terminal=terminal, width=80)


def test_steps_arrive_as_lines_when_there_is_no_terminal(pipe):
    reader, writer = pipe
    report = PipeReport(writer)
    with step(report, "Kafka"):
        pass
    report.ready()
    screen = console()
    assert follow(reader, Display(screen)) is None
    assert screen.file.getvalue().split() == ["Kafka", "0.0", "s"]


def test_a_terminal_shows_all_steps(pipe):
    reader, writer = pipe
    report = PipeReport(writer)
    with step(report, "Kafka"), step(report, "PostgreSQL"):
        pass
    report.ready()
    screen = console(terminal=True)
    assert follow(reader, Display(screen)) is None
    assert "Kafka" in screen.file.getvalue()
    assert "PostgreSQL" in screen.file.getvalue()


def test_a_failure_arrives_with_its_reason(pipe):
    reader, writer = pipe
    report = PipeReport(writer)
    with pytest.raises(ValueError, match="boom"), step(report, "Kafka"):
        raise ValueError("boom")
    report.failed("Kafka was not ready")
    screen = console()
    assert follow(reader, Display(screen)) == "Kafka was not ready"
    assert screen.file.getvalue() == ""  # a step that failed is not shown as done


def test_a_supervisor_that_vanishes_is_a_failure(pipe):
    reader, writer = pipe
    os.close(writer)
    assert follow(reader, Display(console())) == "the supervisor ended without a word"


def test_a_reader_that_went_away_is_no_trouble(pipe):
    reader, writer = pipe
    report = PipeReport(writer)
    os.close(reader)
    with step(report, "Kafka"):
        pass
    report.ready()
    report.failed("too late to tell")
