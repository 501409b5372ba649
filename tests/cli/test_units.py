"""units: is what people write read as they mean it, and is everything else refused with the forms that are allowed?"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.cli import units
from gnomon.errors import GnomonError


@pytest.mark.parametrize(
    ("text", "value"),
    [("128M", 128 << 20), ("1G", 1 << 30), ("4096", 4096), ("64k", 65536), ("64KiB", 65536), ("2 GB", 2 << 30), ("1T", 1 << 40)],
)
def test_is_a_size_read(text, value):
    assert units.size(text) == value


@pytest.mark.parametrize("text", ["", "M", "-1M", "1.5G", "12q", "0x10", "\u0661\u0662M", "1e3", "9" * 40, "1M\n2"])
def test_is_a_size_that_is_none_refused(text):
    with pytest.raises(GnomonError) as caught:
        units.size(text)
    assert repr(text) in caught.value.message and "128M" in caught.value.hint and caught.value.exit_code == 2


@pytest.mark.parametrize(("text", "value"), [("50ms", 0.05), ("2m", 120.0), ("250us", 0.00025), ("1.5s", 1.5), ("1h", 3600.0)])
def test_is_a_duration_read(text, value):
    assert abs(units.duration(text) - value) < 1e-12


@pytest.mark.parametrize("text", ["", "50", "ms", "-1s", "1d", "nan s", "inf", "1e9s"])
def test_is_a_duration_without_a_unit_refused(text):
    with pytest.raises(GnomonError, match="the duration cannot be read"):
        units.duration(text)


def test_does_a_bound_say_both_numbers():
    with pytest.raises(GnomonError, match="the timeout is at least 100 ms, and 5ms is less"):
        units.duration("5ms", "the timeout", least=0.1)
    with pytest.raises(GnomonError, match="the bandwidth is at least 64 KiB a second, and 100 is less"):
        units.rate("100", "the bandwidth")
    with pytest.raises(GnomonError, match="multiple of 4096 bytes, and 5000 is not: 5000"):
        units.memory("5000")


def test_is_a_rate_read_with_and_without_its_second():
    assert units.rate("100M") == units.rate("100M/s") == 100 << 20
    with pytest.raises(GnomonError, match="the rate cannot be read: 'fast'"):
        units.rate("fast")


@given(st.integers(0, 1 << 50))
def test_is_a_shown_size_short_and_near(count):
    shown, unit = units.show_size(count).split()
    factor = {"bytes": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}[unit]
    assert abs(float(shown) * factor - count) <= factor * 0.051


@given(st.floats(0, 1e6))
def test_is_a_shown_duration_never_empty(seconds):
    assert units.show_duration(seconds)[0].isdigit()


@given(st.text(max_size=20))
def test_does_any_text_end_in_a_value_or_one_sentence(text):
    for read in (units.size, units.duration, units.rate, units.memory):
        try:
            assert read(text) >= 0
        except GnomonError as error:
            assert error.exit_code == 2
