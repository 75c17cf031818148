"""Valid, recorded tokens of AI model providers, from an encrypted vault."""

from ._clawkeep import Client, Error, Status, Token

__all__ = ["Client", "Error", "Status", "Token"]
