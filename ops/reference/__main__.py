"""`make docs`: bring every text that comes from the program up to date, and say which changed."""

from __future__ import annotations

from ops.reference.regions import ROOT, documents_with_regions, renewed

if __name__ == "__main__":
    for path in documents_with_regions():
        before = path.read_text(encoding="utf-8")
        after = renewed(before)
        if after != before:
            path.write_text(after, encoding="utf-8")
            print(f"{path.relative_to(ROOT)}: written anew")
