"""Errors that a user can mend: one sentence each, with an exit code."""

from __future__ import annotations


class DeftError(Exception):
    """The work failed for a reason that the message names (exit code 1).

    The message is one sentence: the file or value, the fault, and the mend.
    """

    exit_code = 1


class UsageError(DeftError):
    """The command was asked for something impossible (exit code 2)."""

    exit_code = 2
