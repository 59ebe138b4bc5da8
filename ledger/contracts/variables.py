"""Every `LEDGER_*` variable that a program of ours reads, with what it is for.

A variable with this prefix that is not listed is refused at start, so a misspelt one is noticed.
The ledger's and the agents' settings are both checked against this list by tests.
"""

from __future__ import annotations

LEDGER: dict[str, str] = {
    "LEDGER_DATABASE_URL": "the ledger's own PostgreSQL database",
    "LEDGER_NAME": "what this ledger is called in questions and titles",
    "LEDGER_POOL": "pool of databases that are added without one; the agents' pool",
    "LEDGER_RESEND_S": "seconds until an unanswered order is published again",
    "LEDGER_VARIABLES": "what placeholders in migrations stand for, as a JSON object",
    "LEDGER_ROLLOUT_WAVES": "sizes of the waves",
    "LEDGER_ROLLOUT_IN_FLIGHT": "databases worked on at the same time",
    "LEDGER_ROLLOUT_BUDGET": "how many databases may fail",
    "LEDGER_ROLLOUT_WHEN_SPENT": "halt or rollback",
    "LEDGER_ROLLOUT_LOCK_TIMEOUT_S": "seconds a statement waits for a lock",
    "LEDGER_ROLLOUT_STATEMENT_TIMEOUT_S": "seconds per statement",
    "LEDGER_ROLLOUT_EXPIRY_S": "seconds until an order that nobody started is ordered again",
    "LEDGER_ROLLOUT_DEADLINE_S": "seconds until an order without an answer is unknown",
}
"""Read by `ledger`."""

SHARED: dict[str, str] = {
    "LEDGER_INSECURE_BUS": "allow a broker without TLS and login that is not on loopback",
    "LEDGER_KAFKA_BOOTSTRAP": "host:port of the brokers",
    "LEDGER_KAFKA_SECURITY_PROTOCOL": "PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL",
    "LEDGER_KAFKA_SSL_CAFILE": "certificates that the broker is checked by",
    "LEDGER_KAFKA_SSL_CERTFILE": "client certificate",
    "LEDGER_KAFKA_SSL_KEYFILE": "key of the client certificate",
    "LEDGER_KAFKA_SSL_PASSWORD": "password of the key file",
    "LEDGER_KAFKA_SASL_MECHANISM": "PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512",
    "LEDGER_KAFKA_SASL_USERNAME": "user name at the broker",
    "LEDGER_KAFKA_SASL_PASSWORD": "password at the broker",
    "LEDGER_KAFKA_REPLICATION_FACTOR": "copies of each topic that we create",
    "LEDGER_AGENT_CONCURRENCY": "databases worked on at once, per agent",
    "LEDGER_AGENT_PER_HOST": "databases worked on at once, per server",
    "LEDGER_AGENT_SECRET_ROOTS": "folders below which file: references may be read",
    "LEDGER_AGENT_PROGRAMS": "languages of programs that migrations may run: python, psql",
    "LEDGER_AGENT_INSECURE_POSTGRES": "allow databases without verified TLS",
}
"""Read by `ledger` and by `ledger-agent`."""

AGENT: dict[str, str] = {
    "LEDGER_AGENT_NAME": "what this agent is called; host name and process id by default",
    "LEDGER_AGENT_GRACE_S": "seconds that running work gets after the first signal",
    "LEDGER_AGENT_CONTENT_CACHE_BYTES": "bytes of migration texts that an agent keeps",
    "LEDGER_AGENT_SSL_ROOTCERT": "certificates that databases are checked by",
    "LEDGER_AGENT_SSL_CERT": "client certificate for databases",
    "LEDGER_AGENT_SSL_KEY": "key of the client certificate for databases",
}
"""Read by `ledger-agent`."""

TESTS: dict[str, str] = {
    "LEDGER_TEST_KAFKA": "a broker that the tests may use, instead of an embedded one",
    "LEDGER_TEST_PG": "a PostgreSQL server that the tests may use, instead of an embedded one",
    "LEDGER_TEST_PG_RELEASE": "the release of the embedded PostgreSQL server, instead of 18",
}
"""Read by the tests and by make."""

VARIABLES: dict[str, str] = {**LEDGER, **SHARED, **AGENT, **TESTS}
"""All of them."""
