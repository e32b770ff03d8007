"""Failed tests of pages report the logs of their servers, as live tests do."""

from tests.live.reports import pytest_runtest_makereport as pytest_runtest_makereport
