"""A database that is made to be thrown away: set up with a schema, used, and dropped.

    a server ── CREATE DATABASE, with a name that nobody can guess
                     │
                   schema        of a catalog, a file, or a folder; extensions and roles first
                     │
               ScratchDatabase   with what it lacks; its owner, an ordinary login, runs all code
                     │
                   trace         what each statement locks, writes anew and reads through
                     │
    at the end, and whatever went wrong: DROP DATABASE, DROP ROLE

What runs there was written by the authors of migrations, so it runs as an ordinary login that owns
this one database and nothing else, and never in a tenant's.
"""
