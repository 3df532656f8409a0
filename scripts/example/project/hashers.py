"""A password hash that is quick to check, and so only good for passwords that are no secret."""

from django.contrib.auth.hashers import PBKDF2PasswordHasher


class QuickPasswordHasher(PBKDF2PasswordHasher):
    """PBKDF2 in a few milliseconds."""

    iterations = 10_000
