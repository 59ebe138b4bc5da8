"""Values of variables as tokens: in the place of a placeholder stands one literal or one name.

A text is taken apart twice, with a neutral word in every placeholder's place and with the values;
both times there must be the same tokens at the same places. So a value inside of a literal, a
quoted name or a comment may hold what does not end it, and one that stands by itself is one number,
one quoted text or one name. In the program of a DO block or a function the same holds of the
program's own tokens, and of texts in it that `EXECUTE` may run; where such a text is written in
single quotes, or in another language than SQL and PL/pgSQL, values are plain words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from migrations.sql.grammar import Token, tokens, tree

_NEUTRAL = ("x", "1")
"""Stand in for values: a name, or a digit behind a number."""
_PLAIN = re.compile(r"\w*")
_FIRST_KEYWORD = tree.Token.ABORT_P
_NUMBERS = frozenset({tree.Token.ICONST, tree.Token.FCONST})
_NAMES = frozenset({tree.Token.IDENT, tree.Token.UIDENT})
_TEXTS = frozenset({tree.Token.SCONST, tree.Token.USCONST})
_ONE = _NUMBERS | _NAMES | _TEXTS | {tree.Token.BCONST, tree.Token.XCONST}
_CONSTANT_WORDS = frozenset({tree.Token.TRUE_P, tree.Token.FALSE_P, tree.Token.NULL_P})
_COMMENTS = frozenset({tree.Token.SQL_COMMENT, tree.Token.C_COMMENT})
_DOLLAR = re.compile(r"\$[^$]*\$")

Place = tuple[int, int]
"""Where a placeholder stands in a text: offsets of its first character and behind its last."""


def is_one_token(value: str) -> bool:
    """Whether a value by itself is one literal or one name."""
    return first_unbound("x", [(0, 1)], [value]) is None


def first_unbound(text: str, places: Sequence[Place], values: Sequence[str]) -> int | None:
    """Index of the first value that is more than a part of one token, or not a whole one."""
    return _Template(text, tuple(places)).first_unbound(values)


@dataclass(frozen=True, slots=True)
class _Template:
    """A text with placeholders; `program` says that it is one, of a DO block or a function."""

    text: str
    places: tuple[Place, ...]
    program: bool = False

    def first_unbound(self, values: Sequence[str]) -> int | None:
        """See the function of this name."""
        for word in _NEUTRAL:
            neutral = [word] * len(self.places)
            wanted = tokens(self.joined(neutral))
            if wanted is not None:
                break
        else:
            return _first_not_plain(range(len(values)), values)
        if self._bound(neutral, wanted, values):
            return None
        tried = list(neutral)
        for index, value in enumerate(values):
            tried[index] = value
            if not self._bound(neutral, wanted, tried):
                return index
        return len(values) - 1

    def joined(self, values: Sequence[str]) -> str:
        """The text with values in the places."""
        pieces, at = [], 0
        for (start, end), value in zip(self.places, values, strict=True):
            pieces += [self.text[at:start], value]
            at = end
        return "".join((*pieces, self.text[at:]))

    def spans(self, values: Sequence[str]) -> list[Place]:
        """Where the values stand in the joined text."""
        found, shift = [], 0
        for (start, end), value in zip(self.places, values, strict=True):
            found.append((start + shift, start + shift + len(value)))
            shift += len(value) - (end - start)
        return found

    def _bound(self, neutral: Sequence[str], wanted: list[Token], values: Sequence[str]) -> bool:
        """Whether the tokens with these values are those that are wanted."""
        text = self.joined(values)
        found = tokens(text)
        if found is None:
            return False
        before, behind = self.spans(neutral), self.spans(values)
        edges = {
            edge: other
            for pair, others in zip(before, behind, strict=True)
            for edge, other in zip(pair, others, strict=True)
        }
        at = place = shift = 0
        for index, want in enumerate(wanted):
            first = place
            while place < len(before) and before[place][1] <= want.end:
                place += 1
            inside = range(first, place)
            start = edges.get(want.start, want.start + shift)
            if inside:
                shift = behind[place - 1][1] - before[place - 1][1]
            end = edges.get(want.end, want.end + shift)
            if at == len(found):
                return False
            if not inside:
                same = (found[at].kind, found[at].start, found[at].end) == (want.kind, start, end)
                at += 1
            elif before[first] == (want.start, want.end):
                width = _whole(text, found[at : at + 2], start, end)
                same, at = width > 0, at + width
            else:
                same = (found[at].start, found[at].end) == (start, end)
                same = same and _alike(want, found[at])
                same = same and self._program_bound(neutral, wanted, index, inside, values)
                at += 1
            if not same:
                return False
        return at == len(found)

    def _program_bound(
        self,
        neutral: Sequence[str],
        wanted: list[Token],
        index: int,
        inside: range,
        values: Sequence[str],
    ) -> bool:
        """Whether the values in a text constant leave the program in it as it is, if it is one."""
        token, joined = wanted[index], self.joined(neutral)
        if token.kind not in _TEXTS or not self._is_program(joined, wanted, index, inside):
            return True
        own = joined[token.start : token.end]
        tag = _DOLLAR.match(own)
        if tag is None or not self._reads_as_sql(joined, wanted, index):
            return _first_not_plain(inside, values) is None
        content = own[tag.end() : -tag.end()]
        shift = token.start + tag.end()
        spans = self.spans(neutral)
        places = tuple((spans[one][0] - shift, spans[one][1] - shift) for one in inside)
        below = _Template(content, places, program=True)
        return below.first_unbound([values[one] for one in inside]) is None

    def _is_program(self, text: str, wanted: list[Token], index: int, inside: range) -> bool:
        """Whether a text constant is run: as a body, or in a program by EXECUTE."""
        words = _words_before(text, wanted, index)
        # In a program, words of its own stand before those of a statement: BEGIN, THEN.
        first = words if self.program else words[:1]
        makes = "create" in first and {"function", "procedure"} & set(words)
        runs = words[-1:] == ["do"] or words[-3:-1] == ["do", "language"]
        if runs or (makes and words[-1] == "as"):
            return True
        if not self.program:
            return False
        if not any(text[one.start : one.end].lower() == "execute" for one in wanted):
            return False
        # A text of nothing but the value is data, unless it is run itself or put to what is.
        token = wanted[index]
        alone = len(inside) == 1 and token.end - token.start == 3
        behind = text[token.end :].lstrip().startswith("||")
        return not alone or behind or (words[-1:] in (["execute"], ["||"], ["("]))

    def _reads_as_sql(self, text: str, wanted: list[Token], index: int) -> bool:
        """Whether a program's quotes are those of SQL, whichever side of it names its language."""
        behind = index + 1
        while behind < len(wanted) and wanted[behind].kind != tree.Token.ASCII_59:
            behind += 1
        words = [*_words_before(text, wanted, index), *_words(text, wanted[index + 1 : behind])]
        named = [words[at] for at, one in enumerate(words, start=1) if one == "language"]
        return all(one.strip("'\"") in ("plpgsql", "sql") for one in named)


def _words(text: str, found: Sequence[Token]) -> list[str]:
    return [text[one.start : one.end].lower() for one in found]


def _words_before(text: str, wanted: Sequence[Token], index: int) -> list[str]:
    """The words of a token's own statement that stand before it."""
    first = index
    while first > 0 and wanted[first - 1].kind != tree.Token.ASCII_59:
        first -= 1
    return _words(text, wanted[first:index])


def _whole(text: str, found: Sequence[Token], start: int, end: int) -> int:
    """How many tokens a value is that stands by itself: 1, 2 with a number's sign, 0 if bad."""
    one = found[0]
    if (one.start, one.end) == (start, end):
        word = text[start:end].isidentifier() and not one.reserved and one.kind not in _COMMENTS
        return int(one.kind in _ONE or one.kind in _CONSTANT_WORDS or word)
    signed = text[start : one.end] in ("-", "+") and len(found) == 2
    number = signed and found[1].kind in _NUMBERS and found[1].start == one.end
    return 2 if number and found[1].end == end else 0


def _alike(want: Token, found: Token) -> bool:
    """Whether a token that a value is a part of stays what it is."""
    if want.kind == found.kind:
        return True
    if found.reserved or found.kind in _TEXTS | _COMMENTS or want.kind in _TEXTS | _COMMENTS:
        return False
    return found.kind in _ONE or found.kind >= _FIRST_KEYWORD


def _first_not_plain(indexes: range, values: Sequence[str]) -> int | None:
    return next((one for one in indexes if not _PLAIN.fullmatch(values[one])), None)
