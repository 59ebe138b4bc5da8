"""The role that a migration runs as, and may not change: its name is known only at run time."""

from __future__ import annotations

from migrations.errors import RoleChanged
from migrations.model.migration import Language
from migrations.running.plan import Execute
from migrations.running.retry import failed_at
from migrations.sql.own_schema import (
    only_joins,
    script_acts_on_role,
    statement_acts_on_role,
)
from migrations.sql.psql_files import expanded
from migrations.target.target import Target


def refuse_own_role(target: Target, run: Execute) -> None:
    """Raise StatementFailed if something that is to run changes or drops the session's own roles.

    These are the login and the roles that it runs migrations as. Nothing has run then. A login that
    is a superuser may join other roles, as folders in use have it: it gains nothing by that.
    """
    settings = target.settings
    superuser = target.connection.get_settings().is_superuser == "on"
    sections = [run.section, *([run.migration.verify] if run.migration.verify else ())]
    for section in sections:
        names = (settings.user, settings.role, section.options.role)
        logins = frozenset(name for name in names if name)
        for statement in section.statements:
            joins = superuser and only_joins(statement.text, settings.user)
            if statement_acts_on_role(statement.text, logins) and not joins:
                raise failed_at(_changed(), statement)
        program = section.program
        # A module's statements are looked at when it sends them.
        of_psql = program is not None and program.language is Language.PSQL
        if program is not None and of_psql and script_acts_on_role(expanded(program), logins):
            raise failed_at(_changed(), None)


def _changed() -> RoleChanged:
    return RoleChanged(
        "this changes the role that the migration runs as, so nothing was run; change that role "
        "by hand or with your provisioning tool"
    )
