"""What this host may lack for the moment passes, whoever trips over it."""

from __future__ import annotations

import errno
import os
import threading

import pytest

from handlers.azureml_handler.host import Threads, of_this_host
from mlgate.orchestration.errors import Temporary


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENOSPC, errno.EIO, errno.EACCES])
def test_a_fault_of_the_system_is_told_in_its_words(number: int) -> None:
    with pytest.raises(Temporary, match=os.strerror(number)) as told, of_this_host():
        raise OSError(number, os.strerror(number), "https://x?sig=secret")
    assert "secret" not in str(told.value)


def test_an_error_of_others_is_told_without_its_text() -> None:
    with pytest.raises(Temporary, match="now: OSError") as told, of_this_host():
        raise OSError("https://x?sig=secret")
    assert "secret" not in str(told.value)


def test_a_host_without_another_thread_is_asked_again_later() -> None:
    """A stack as large as the address space is what no thread can have."""
    before = threading.stack_size(1 << 46)
    try:
        with Threads(1) as pool, pytest.raises(Temporary, match="no more threads"):
            pool.submit(print)
    finally:
        threading.stack_size(before)
