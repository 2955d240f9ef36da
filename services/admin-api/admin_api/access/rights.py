"""Roles, what each of them may do, and who asks."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal


class Right(StrEnum):
    """What an endpoint can ask for."""

    READ = "read"  # lists, orders, figures; bodies and addresses masked
    READ_ADDRESSES = "read_addresses"  # mail addresses in full
    READ_BODIES = "read_bodies"  # what providers sent, and what was put aside, in full
    SUPPORT = "support"  # send a mail again, change an address, revoke a link
    FIND_CODES = "find_codes"  # find an order by a code that somebody has
    OPERATE = "operate"  # reprocess, replay, resolve, return keys
    STOCK = "stock"  # bring in codes that we sell
    READ_AUDIT = "read_audit"  # the audit log
    ADMINISTER = "administer"  # end sessions, revoke tokens, erase a buyer's data


class Role(StrEnum):
    """What a person or a token is. The first four each have all rights of the one before."""

    VIEWER = "viewer"
    SUPPORT = "support"
    OPERATOR = "operator"
    ADMIN = "admin"
    AUDITOR = "auditor"  # beside them: reads, also the audit log, and changes nothing


_VIEWER = frozenset({Right.READ})
_SUPPORT = _VIEWER | {Right.READ_ADDRESSES, Right.SUPPORT, Right.FIND_CODES}
_OPERATOR = _SUPPORT | {Right.READ_BODIES, Right.OPERATE, Right.STOCK}

RIGHTS: dict[Role, frozenset[Right]] = {
    Role.VIEWER: _VIEWER,
    Role.SUPPORT: _SUPPORT,
    Role.OPERATOR: _OPERATOR,
    Role.ADMIN: frozenset(Right),
    Role.AUDITOR: frozenset({Right.READ, Right.READ_AUDIT}),
}
UNMASKING = frozenset({Right.READ_ADDRESSES, Right.READ_BODIES})

Via = Literal["setting", "token", "password", "oidc", "command", "nobody"]


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks. `name` is what events and the audit log call them."""

    name: str
    via: Via
    roles: frozenset[Role] = frozenset()

    @property
    def rights(self) -> frozenset[Right]:
        """All that the roles allow."""
        return frozenset().union(*(RIGHTS[role] for role in self.roles))

    @property
    def sees(self) -> frozenset[Right]:
        """What is shown without asking: to people nothing is, as each unmasking is an act that is written down."""
        return self.rights & UNMASKING if self.via in {"setting", "token"} else frozenset()


NOBODY = Asker("nobody", "nobody")


def roles_of(names: Iterable[str]) -> frozenset[Role]:
    """Return the roles with these names; others are none of ours."""
    known = set(names)
    return frozenset(role for role in Role if role in known)


def those_with(right: Right) -> tuple[Role, ...]:
    """Return the roles that have a right."""
    return tuple(role for role in Role if right in RIGHTS[role])
