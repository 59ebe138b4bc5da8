"""What is wrong with migrations before they run: findings, each with its reason and a way out.

    every migration, in order ─▶ folder_catalog   what the files before have made
                     │
    those judged ────┴─▶ a Case per statement ─▶ rules ─▶ hits ─┐
                     └─▶ squawk, if it is there ─▶ its findings ┴─▶ ignores ─▶ findings

What is known better than grammar tells comes first (`rule.Evidence`): what a trace on a scratch
database shows beats what a catalog says, and that beats what a rule concludes from the text. A rule
is one declaration in `migrations.lint.rules`, with its reason, its way out and a function over a
statement; the manual's page of rules is written from them. Only up sections are judged: a way back
takes away by its nature.
"""
