"""Whose a folder or a file is: what is loaded into the process must be the user's own.

A library in the cache is code that runs with the rights of the user. So nothing is loaded that
somebody else may have written: not from a folder or a file that belongs to another user (root
apart, who may do everything anyway), nor from one that others may write, nor below a folder in
which others may put another one in its place. A sticky folder such as `/tmp` lets only the owner
do that.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


class NotTrustedError(Exception):
    """A folder or a file that somebody else may have written, and why."""


def check_own(status: os.stat_result, name: str) -> None:
    """Fail where a file or folder is not the user's own.

    Raises:
        NotTrustedError: With the reason.
    """
    if status.st_uid not in (0, os.geteuid()):
        raise NotTrustedError(f"{name} belongs to {_user(status.st_uid)}")
    if status.st_mode & OTHERS_MAY_WRITE:
        raise NotTrustedError(f"others may write {name} (chmod go-w {name})")


def check_above(folder: Path) -> None:
    """Fail where others may put something else in the place of a folder.

    Looked at are the folders above it, on the way that its path names and on the one that symbolic
    links lead to.

    Raises:
        NotTrustedError: With the reason.
    """
    real = Path(os.path.realpath(folder))
    trusted = {0, os.geteuid(), os.stat("/").st_uid}  # root has another number in some containers
    for above in dict.fromkeys((*real.parents, *Path(os.path.abspath(folder)).parents)):
        try:
            status = above.stat()
        except FileNotFoundError:
            continue  # it is still to be made
        if status.st_uid not in trusted:
            raise NotTrustedError(f"{above}, above it, belongs to {_user(status.st_uid)}")
        is_open = status.st_mode & OTHERS_MAY_WRITE and not status.st_mode & stat.S_ISVTX
        if is_open and not _is_group_of_one(status):
            raise NotTrustedError(f"others may write {above}, above it (chmod go-w {above})")


def _is_group_of_one(status: os.stat_result) -> bool:
    """Whether only a group may write that has the user's name and nobody else in it.

    Many systems give each user such a group, and let it write all that the user makes.
    """
    if status.st_mode & stat.S_IWOTH or status.st_gid == 0:
        return False
    import grp
    import pwd

    try:
        group, user = grp.getgrgid(status.st_gid), pwd.getpwuid(os.geteuid())
    except KeyError:
        return False
    return group.gr_name == user.pw_name and set(group.gr_mem) <= {user.pw_name}


def _user(number: int) -> str:
    import pwd

    try:
        return f"the user {pwd.getpwuid(number).pw_name}"
    except KeyError:
        return f"the user {number}"
