"""Where an agent's secrets may go: rules of its own, which no registration and no order can change.

    env:TENANT_* -> *.tenants.internal:5432, user mig_*
    file:eu/{database} -> 10.1.0.0/16, user mig_{database}, database {database}

Left is a reference, right the server that may be shown it: a name, `*.` and a domain, an address, a
network, `loopback`, or the folder of a Unix socket; then, if wanted, the port, whom it is for and
in which database. `*` stands for anything, `{database}` for the id under which a database is
registered. Without a rule of its own an agent has `DEFAULT_RULES`.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from functools import lru_cache

PLACEHOLDER = "{database}"
LOOPBACK = "loopback"
_RULE = re.compile(
    r"(?P<kind>env|file):(?P<pattern>[^\s,;]+)\s*->\s*"
    r"(?P<host>\[[^\]\s]+\](?:/\d+)?|[^\s,;:\[\]]+)(?::(?P<port>\d{1,5}|\*))?"
    r"(?P<narrower>(?:\s*,\s*(?:user|database)\s+[^\s,;]+)*)"
)
_NARROWER = re.compile(r"(user|database)\s+([^\s,;]+)")
_NAME = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?")
_HOST_PATTERN = re.compile(
    r"(?:[a-z0-9_*-]|\{database\})+(?:\.(?:[a-z0-9_*-]|\{database\})+)*", re.IGNORECASE
)
NEVER = (
    "LEDGER", "PG", "AWS_", "AZURE_", "ARM_", "GOOGLE_", "GCP_", "GCLOUD_", "CLOUDSDK_",
    "OTEL_", "KAFKA_", "KUBERNETES_", "KUBE", "DOCKER_", "VAULT_", "CONSUL_", "NOMAD_",
    "GITHUB_", "GITLAB_", "GH_", "CI_", "BUILDKITE_", "JENKINS_", "NPM_", "PIP_", "TWINE_",
    "SSH_", "SSL_", "GPG_", "LD_", "DYLD_", "PYTHON", "VIRTUAL_ENV", "XDG_", "DBUS_",
    "SYSTEMD_", "CREDENTIALS_DIRECTORY", "SUDO_", "DATABASE_URL", "REDIS_", "SENTRY_",
)  # fmt: skip
"""What variables begin with that hold no tenant's password, whatever a rule says."""
_OF_ONE_HOUSE = frozenset(
    {"internal", "local", "localhost", "localdomain", "lan", "home", "corp", "intranet", "private",
     "test", "invalid", "example", "svc", "consul", "cluster"}
)  # fmt: skip
"""Names that nobody can register for himself, so that all below one may be one house's."""
SHORTEST_PREFIX = 8
"""Bits of a network that binds: 10.0.0.0/8 is somebody's own, and what is wider is the world."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Who would be shown a secret: a registered database, with the id that it has in the fleet."""

    host: str
    port: int
    user: str
    database: str
    id: str

    def __str__(self) -> str:
        return f"{self.host}:{self.port}/{self.database} as {self.user}"


@dataclass(frozen=True, slots=True)
class SecretRule:
    """One rule. `text` is how a person wrote it."""

    text: str
    kind: str
    pattern: str
    host: str
    port: int | None
    user: str
    database: str

    def __str__(self) -> str:
        return self.text

    def names(self, kind: str, names: tuple[str, ...], database: str) -> bool:
        """Whether the rule is about a secret that goes by one of `names`."""
        cleaned = re.sub(r"[^A-Za-z0-9_]", "_", database) if kind == "env" else database
        return self.kind == kind and any(_fits(self.pattern, name, cleaned) for name in names)

    def reaches(self, there: Destination) -> bool:
        """Whether the rule lets its secret go there."""
        return (
            self.port in (None, there.port)
            and _host_fits(self.host, there.host, there.id)
            and _fits(self.user, there.user, there.id)
            and _fits(self.database, there.database, there.id)
        )


def parse_rules(text: str) -> tuple[SecretRule, ...]:
    """Rules with `;` or line ends between them. Raises ValueError that says what is wrong."""
    parts = [part.strip() for part in re.split(r"[;\n]", text)]
    return tuple(parse_rule(part) for part in parts if part)


def parse_rule(text: str) -> SecretRule:
    """One rule. Raises ValueError."""
    found = _RULE.fullmatch(text.strip())
    if found is None:
        raise ValueError(
            f"{ascii(text)[1:-1]!r} is no rule; write env:TENANT_* -> *.tenants.internal:5432, "
            "user mig_*"
        )
    narrower = _NARROWER.findall(found["narrower"])
    if len({word for word, _ in narrower}) != len(narrower):
        raise ValueError(f"{text!r} says user or database twice; write one rule for each")
    host, port = found["host"], found["port"]
    if port not in (None, "*") and not 1 <= int(port) <= 65_535:
        raise ValueError(f"{text!r} names the port {port}; write one from 1 to 65535")
    if found["kind"] == "env":
        _check_variable(found["pattern"])
    _check_host(host)
    said = dict(narrower)
    return SecretRule(
        text=" ".join(text.split()),
        kind=found["kind"],
        pattern=found["pattern"],
        host=host,
        port=None if port in (None, "*") else int(port),
        user=said.get("user", "*"),
        database=said.get("database", "*"),
    )


def is_never_a_tenants(variable: str) -> bool:
    """Whether a variable is of a kind that holds no tenant's password, whatever a rule says."""
    return variable.upper().startswith(NEVER)


def _check_variable(pattern: str) -> None:
    """A rule for variables names how they begin, and not like those of others."""
    begins = re.split(r"\*|\{", pattern, maxsplit=1)[0].upper()
    if not re.fullmatch(r"[A-Z_][A-Z0-9_]*", begins):
        raise ValueError(
            f"env:{pattern} does not say how the variables begin; write env:TENANT_* or another "
            "beginning that only passwords of tenants have"
        )
    # Also a beginning that is short enough to take in one of those.
    if begins.startswith(NEVER) or (
        begins != pattern.upper() and any(one.startswith(begins) for one in NEVER)
    ):
        raise ValueError(
            f"env:{pattern} takes in variables that are no tenant's ({', '.join(NEVER[:3])} …); "
            "give tenants' passwords a beginning of their own, such as TENANT_"
        )


def _check_host(pattern: str) -> None:
    if pattern == LOOPBACK or (pattern.startswith("/") and "*" not in pattern):
        return
    network = _network(pattern)
    if network is not None and network.prefixlen >= SHORTEST_PREFIX:
        return
    before, _, last = pattern.rstrip(".").rpartition(".")
    everybodys = last.lower() not in _OF_ONE_HOUSE and any(
        one in before.rpartition(".")[2] for one in ("*", "{")
    )
    named = _HOST_PATTERN.fullmatch(pattern.rstrip(".")) and not ("*" in last or "{" in last)
    if network or not named or everybodys:
        raise ValueError(
            f"{ascii(pattern)[1:-1]!r} binds to no host: end it with a name that is yours, such as "
            "*.tenants.internal, or write an address, a network such as 10.1.0.0/16, the folder "
            f"of a socket, or {LOOPBACK}"
        )


Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _network(text: str) -> Network | None:
    address, slash, bits = text.partition("/")
    if address.startswith("["):
        inner, _, rest = text[1:].partition("]")
        address, bits = inner, rest.removeprefix("/")
        slash = "/" if bits else ""
    try:
        return ipaddress.ip_network(f"{address}{slash}{bits}", strict=False)
    except ValueError:
        return None


def _host_fits(pattern: str, host: str, database: str) -> bool:
    """Whether `host`, as registered, is one that the pattern means; names are not looked up."""
    if host.startswith("/") or pattern.startswith("/"):
        return host.rstrip("/") == pattern.rstrip("/")
    name = host.strip("[]").lower()
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        name = name.removesuffix(".")
        if not _NAME.fullmatch(name):
            return False
        if pattern == LOOPBACK:
            return name == "localhost"
        return _network(pattern) is None and _fits(
            pattern.lower().removesuffix("."), name, database.lower()
        )
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if pattern == LOOPBACK:
        return address.is_loopback
    network = _network(pattern)
    return network is not None and address in network


def _fits(pattern: str, text: str, database: str) -> bool:
    return _pattern(pattern, database).fullmatch(text) is not None


@lru_cache(maxsize=4_096)
def _pattern(pattern: str, database: str) -> re.Pattern[str]:
    pieces = re.split(r"(\*|\{database\})", pattern)
    meant = {"*": "(?s:.*)", PLACEHOLDER: re.escape(database)}
    return re.compile("".join(meant.get(piece) or re.escape(piece) for piece in pieces))


DEFAULT_RULES = parse_rules("env:TENANT* -> loopback; file:* -> loopback")
"""Without rules: this machine alone, for trying things."""
