"""The engine's messages about import options in the reader's language.

The engine knows nothing of translations: its errors carry a template and its values. The templates
stand here a second time so that `makemessages` finds them; a test keeps the two in step.
"""

from __future__ import annotations

from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

from engine.errors import OptionError

TEMPLATES = (
    _("options must be an object of names and values."),
    _("A custom option is not JSON: %(why)s."),
    _("A custom option is nested more than %(limit)s levels deep."),
    _("The custom options take %(size)s bytes; %(limit)s are allowed."),
    _("delimiter and quote_char must differ."),
    _("escape_char must differ from delimiter and quote_char."),
    _("%(name)s must be a whole number, not %(value)s."),
    _("%(name)s must be from %(low)s to %(high)s, not %(value)s."),
    _("%(name)s must be a number from 0 to 1, not %(value)s."),
    _("%(name)s must be true or false, not %(value)s."),
    _('%(name)s must be "%(first)s" or "%(second)s", not %(value)s.'),
    _("%(name)s must be a text, not %(value)s."),
    _("%(name)s must be the name of a sheet, or its number counted from 1, not %(value)s."),
    _("%(name)s must be one ASCII character, not %(value)s."),
    _('%(name)s must be a known text encoding such as "utf-8" or "cp1252", not %(value)s.'),
)


def told(error: OptionError) -> str:
    """The error's message in the active language; in English where there is no translation."""
    template, values = error.facts.get("template"), error.facts.get("values")
    if template is None or values is None:
        return error.message
    text: str = gettext(template) % values
    return text
