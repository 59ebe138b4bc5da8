"""Writes what the documents say of the program from the program itself.

    python -m ops.reference          or: make docs

A document marks where such a text belongs, and everything around it is written by hand:

    <!-- from the program: exit-codes -->
    ...
    <!-- end -->
"""
