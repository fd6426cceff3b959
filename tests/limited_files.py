"""Files that must not grow beyond a limit, as on a full disk."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

resource = pytest.importorskip("resource", reason="limits of files are of Unix")


@contextmanager
def files_limited_to(num_bytes: int) -> Iterator[None]:
    """Let no file of this process grow beyond, its own log among them: for few lines alone."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
