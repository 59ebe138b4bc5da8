"""Loads the fixtures; each resource has a module of its own."""

from hypothesis import settings

pytest_plugins = [
    "tests.fixtures.folders",
    "tests.fixtures.postgres",
    "tests.fixtures.psql",
    "tests.fixtures.kafka",
    "tests.fixtures.ledger",
]

# How long an example takes says how busy the machine is, not whether the property holds.
settings.register_profile("migration-ledger", deadline=None)
settings.load_profile("migration-ledger")
