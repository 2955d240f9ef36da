"""Becomes another program, after tying its life to the parent's and dropping root.

Run as a script by `embedded.child`, in isolated mode, so it imports the standard library only:
`python -I -S launch.py PARENT_PID DEATH_SIGNAL USER COMMAND...`, where USER is `-` to stay who we are.

A wrapper and not `preexec_fn`: that runs Python between fork and exec, which can deadlock when the parent
has threads.
"""

import ctypes
import os
import pwd
import struct
import sys

# linux/prctl.h, linux/securebits.h and linux/capability.h
PR_SET_PDEATHSIG = 1
PR_SET_SECUREBITS = 28
SECBIT_NO_SETUID_FIXUP = 1 << 2
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
CAPABILITY_VERSION_3 = 0x20080522
CAP_DAC_OVERRIDE = 1


def become(user: str) -> None:
    """Switch to `user`, keeping only the right to pass directories that are closed to it.

    PostgreSQL refuses to run as root, yet a checkout often lies below a directory that only root may enter
    (/root, a private temporary directory). Where the kernel grants no such right, the directories' own
    permissions decide.
    """
    entry = pwd.getpwnam(user)
    libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
    if libc is not None:
        # Keeps the capabilities over setuid, and makes access(2) heed them: initdb looks with it for its programs.
        libc.prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0)
    os.setgroups([])
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)
    if libc is not None:
        mask = 1 << CAP_DAC_OVERRIDE
        header = struct.pack("Ii", CAPABILITY_VERSION_3, 0)
        libc.capset(header, struct.pack("6I", mask, mask, mask, 0, 0, 0))
        libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE, 0, 0)


def die_with(parent: int, death_signal: int) -> None:
    """Have the kernel send `death_signal` when the parent dies.

    After `become`: a change of user clears the request.
    """
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
    if os.getppid() != parent:  # it died before the request was made
        sys.exit(1)


def main(arguments: list[str]) -> None:
    """Run what the module's docstring says; never returns when the command can be executed."""
    parent, death_signal, user, *command = arguments
    if user != "-":
        become(user)
    die_with(int(parent), int(death_signal))
    try:
        os.execvp(command[0], command)  # noqa: S606 - no shell is the point
    except OSError as error:
        sys.exit(f"cannot run {command[0]}: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
