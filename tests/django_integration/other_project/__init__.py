"""A project that differs from the tests' own where projects do: versions in its addresses, users known by UUIDs."""
