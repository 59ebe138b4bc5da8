"""Under which licence each of Apache Kafka's jars is.

What is listed was read in the jar, or in its project's repository where a jar says nothing.
"""

from __future__ import annotations

import re

from ledger.embedded.jars import pinned

APACHE = "Apache-2.0"
LICENCES_OF_JARS = {
    "HdrHistogram": "BSD-2-Clause OR CC0-1.0",
    "argparse4j": "MIT",
    "caffeine": APACHE,
    "commons-beanutils": APACHE,
    "commons-collections": APACHE,
    "commons-digester": APACHE,
    "commons-logging": APACHE,
    "commons-validator": APACHE,
    "hash4j": APACHE,
    "jackson-annotations": APACHE,
    "jackson-core": APACHE,
    "jackson-databind": APACHE,
    "jackson-dataformat-csv": APACHE,
    "jackson-dataformat-yaml": APACHE,
    "jackson-datatype-jdk8": APACHE,
    "jopt-simple": "MIT",
    "jose4j": APACHE,
    "jspecify": APACHE,
    "kafka-clients": APACHE,
    "kafka-coordinator-common": APACHE,
    "kafka-group-coordinator": APACHE,
    "kafka-group-coordinator-api": APACHE,
    "kafka-metadata": APACHE,
    "kafka-raft": APACHE,
    "kafka-server": APACHE,
    "kafka-server-common": APACHE,
    "kafka-share-coordinator": APACHE,
    "kafka-storage": APACHE,
    "kafka-storage-api": APACHE,
    "kafka-tools-api": APACHE,
    "kafka-transaction-coordinator": APACHE,
    "kafka_2.13": APACHE,
    "log4j-api": APACHE,
    "log4j-core": APACHE,
    "lz4-java": APACHE,
    "metrics-core": APACHE,
    "pcollections": "MIT",
    "re2j": "BSD-3-Clause",
    "scala-library": APACHE,
    "scala-logging_2.13": APACHE,
    "scala-reflect": APACHE,
    "slf4j-api": "MIT",
    "slf4j-simple": "MIT",
    "snakeyaml": APACHE,
    "snappy-java": APACHE,
    "zstd-jni": "BSD-2-Clause",
}
"""SPDX expressions by a jar's name without its version."""


def licences_of_jars() -> dict[str, str | None]:
    """Every jar that is fetched, with its licence; None where nobody has looked."""
    return {jar: licence_of_jar(jar) for jar in pinned()}


def licence_of_jar(jar: str) -> str | None:
    """The licence of one, by its file name."""
    return LICENCES_OF_JARS.get(re.sub(r"-[0-9][0-9A-Za-z.-]*\.jar$", "", jar))
