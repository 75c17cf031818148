import os
from typing import Any, List, Literal, Optional, Sequence, final

Reason = Literal["auth", "format", "rate_limit", "billing", "timeout", "unknown"]

class Error(Exception):
    """Why a call failed. Nothing was handed out then."""

    kind: str
    """The kind, for programs: "locked", "busy", "damaged", "newer", "read_only", "missing_key", "absent",
    "unknown_provider", "unknown_profile", "no_credential", "bad_argument", "forked", and others."""

@final
class Token:
    """A credential whose use is in the audit record."""

    @property
    def secret(self) -> str: ...
    @property
    def profile(self) -> str: ...
    @property
    def provider(self) -> str: ...
    @property
    def kind(self) -> Literal["api_key", "token", "oauth"]: ...
    @property
    def expires(self) -> Optional[int]:
        """Milliseconds since 1970; None if no expiry is known."""

@final
class Status:
    """How a credential stands."""

    @property
    def profile(self) -> str: ...
    @property
    def provider(self) -> str: ...
    @property
    def kind(self) -> Literal["api_key", "token", "oauth"]: ...
    @property
    def state(self) -> str: ...
    @property
    def expires(self) -> Optional[int]:
        """Milliseconds since 1970; None if no expiry is known."""
    @property
    def skipped_until(self) -> Optional[int]:
        """Until when it is not tried, after a failure; milliseconds since 1970."""

@final
class Client:
    """An open vault, and the agent whose credentials it hands out. Safe to share between threads; a child of a fork opens its own."""

    def __new__(
        cls,
        actor: str,
        *,
        agent: Optional[str] = None,
        state_dir: Optional["os.PathLike[str] | str"] = None,
        vault: Optional["os.PathLike[str] | str"] = None,
        passphrase: Optional[str] = None,
        create: bool = True,
    ) -> "Client": ...
    def token(
        self, provider: str, *, min_valid: float = 0.0, session: Optional[str] = None, fallback: Optional[bool] = None
    ) -> Token:
        """The next credential of a provider, refreshed if less than `min_valid` seconds are left, after its use is recorded."""
    def token_for(
        self, profile: str, *, min_valid: float = 0.0, session: Optional[str] = None, fallback: Optional[bool] = None
    ) -> Token: ...
    def status(self) -> List[Status]: ...
    def sync(self) -> bool:
        """Imports the logins of other programs. Whether anything changed."""
    def mark_used(self, profile: str) -> None: ...
    def mark_failed(self, profile: str, reason: Reason) -> None: ...
    def set_order(self, provider: str, profiles: Sequence[str]) -> None: ...
    def history(
        self, *, profile: Optional[str] = None, provider: Optional[str] = None, limit: Optional[int] = 100
    ) -> List[dict[str, Any]]:
        """The newest events of the record, as `clawkeep history --json` has them."""
    def verify(self) -> int:
        """Verifies the whole record; the number of events in it."""
