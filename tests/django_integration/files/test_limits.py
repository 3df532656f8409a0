"""Sizes of parts, and headers for downloads: pure rules."""

from __future__ import annotations

from email.message import Message
from urllib.parse import unquote

from hypothesis import given
from hypothesis import strategies as st

from django_integration.conf import GIB, MIB
from django_integration.files.limits import MAX_PARTS, part_bytes
from django_integration.files.storage import attachment


@given(st.integers(1, 5 * 1024 * GIB), st.integers(-1, 10 * GIB))
def test_parts_keep_the_limits_of_s3_whatever_is_wished(size: int, wished: int) -> None:
    found = part_bytes(size, wished)
    assert 5 * MIB <= found <= 5 * GIB
    assert -(-size // found) <= MAX_PARTS


@given(st.text(max_size=60))
def test_a_file_name_never_breaks_out_of_its_header(name: str) -> None:
    header = attachment(name)
    assert header.isascii()
    assert header.isprintable()
    assert header.startswith('attachment; filename="')
    assert header.count('"') == 2


@given(st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=60))
def test_a_file_name_is_read_back_as_it_was(name: str) -> None:
    message = Message()
    message["Content-Disposition"] = attachment(name)
    _, _, encoded = attachment(name).partition("filename*=UTF-8''")
    assert (unquote(encoded) if encoded else message.get_filename()) == name
