"""Errors that a user can mend: one sentence each, with an exit code."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager

LONGEST_WORD = 300  # characters of a name or value that a message shows


def printable(text: object) -> str:
    """``text`` as it may be shown on a terminal, in a log or on a page.

    Control and formatting characters (line breaks, ESC, bidirectional marks) and bytes that are no UTF-8 are
    written as escapes; a word without end (5,000 digits) is cut.
    """
    words = []
    for word in str(text).split(" "):
        shown = "".join(c if _is_plain(c) else c.encode("unicode_escape").decode("ascii") for c in word)
        words.append(shown if len(shown) <= LONGEST_WORD else f"{shown[:LONGEST_WORD]}...")
    return " ".join(words)


def is_plain(name: str) -> bool:
    """Whether ``name`` can be shown as it is: no control or formatting characters, and valid UTF-8."""
    return all(_is_plain(character) for character in name)


def _is_plain(character: str) -> bool:
    return unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Zl", "Zp")


@contextmanager
def naming(path: object) -> Iterator[None]:
    """Put ``path`` before the message of a DeftError raised within, unless the message names it."""
    try:
        yield
    except DeftError as error:
        name = printable(path)
        if name in str(error):
            raise
        raise type(error)(f"{name}: {error}") from error


class DeftError(Exception):
    """The work failed for a reason that the message names (exit code 1).

    The message is one sentence: the file or value, the fault, and the mend. What comes from outside (names,
    values) is made printable.
    """

    exit_code = 1

    def __init__(self, message: object) -> None:
        super().__init__(printable(message))


class UsageError(DeftError):
    """The command was asked for something impossible (exit code 2)."""

    exit_code = 2
