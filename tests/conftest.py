"""Loads the fixtures; each resource has a module of its own."""

pytest_plugins = [
    "tests.fixtures.folders",
    "tests.fixtures.postgres",
    "tests.fixtures.psql",
    "tests.fixtures.kafka",
]
