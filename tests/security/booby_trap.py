"""Must never be imported: a request may name it, and a name in a request loads nothing."""

raise RuntimeError("a name in a request was imported")
