import pytest

from activeloop.checks import bytes_of
from activeloop.errors import ConfigError
from activeloop.memory import available, default_limit, readable, rows_at_a_time


def test_half_of_what_is_free_is_the_default():
    assert 0 < default_limit() <= available()


def test_a_chunk_has_a_fixed_size_and_at_least_a_row():
    assert rows_at_a_time(1024) == 4096
    assert rows_at_a_time(2**40) == 1


@pytest.mark.parametrize(
    ("size", "text"),
    [(12, "12 bytes"), (1536, "1.5 KiB"), (5e6, "4.77 MiB"), (3 * 2**30, "3 GiB")],
)
def test_sizes_are_written_as_people_read_them(size, text):
    assert readable(size) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [(None, None), (1000, 1000), ("4GiB", 4 * 2**30), ("1.5 GB", 15 * 10**8), ("512MiB", 2**29)],
)
def test_sizes_are_read_as_people_write_them(text, expected):
    assert bytes_of("memory_limit", text) == expected


@pytest.mark.parametrize("text", [0, -1, "four", "4 bananas", True, "1..2GB"])
def test_a_size_that_is_none_is_named(text):
    with pytest.raises(ConfigError, match="memory_limit must be a number of bytes"):
        bytes_of("memory_limit", text)
