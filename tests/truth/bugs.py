"""The bugs: what was released, what is wrong with it, which tests of the next release say so, what fixed it.

None of it is invented. A base is a release as it was published, with the tests that it had; the hidden tests
are those of the release that fixed the bug; and the fix is what that release changed, as far as these tests
need it (`python -m tests.truth --fix ID` finds out how far that is).
"""

from __future__ import annotations

from dataclasses import dataclass

from demo.packages import Release


@dataclass(frozen=True)
class Edit:
    """One place in a file, found by its text, which is there once, and what somebody might make of it."""

    path: str
    old: str
    new: str


@dataclass(frozen=True)
class Step:
    """From one release to a later one.

    Attributes:
        earlier: What agents start from.
        later: What fixed the bugs.
        commit: What the branch `main` of the repository must come to; it follows from the pinned bytes alone.
        source: The file, or the folder with a slash at its end, that holds what is imported.
        own_tests: Where the earlier release has its tests: they pass before, and must pass after.
        later_tests: Where the later one has its own.
        breakage: A change that its own tests notice, and that the bugs have nothing to do with.
    """

    earlier: Release
    later: Release
    commit: str
    source: str
    breakage: Edit
    own_tests: str = "tests"
    later_tests: str = "tests"

    @property
    def name(self) -> str:
        """The name of its repository."""
        return f"{self.earlier.name}-{self.earlier.version}"


@dataclass(frozen=True)
class Bug:
    """One bug.

    Attributes:
        id: The task's name.
        step: Where it was, and where it was no more.
        report: What an agent is told.
        tests: The later release's tests that fail before and pass after.
        fix: Which of the pieces that the later release changed (`fixes.pieces`) make them pass.
    """

    id: str
    step: Step
    report: str
    tests: tuple[str, ...]
    fix: tuple[int, ...]


_PARSE = {
    "1.18.0": "91666032d6723dc5905248417ef0dc9e4c51df9526aaeef271eacad6491f06a4",
    "1.19.0": "9ff82852bcb65d139813e2a5197627a94966245c897796760a3a2a8eb66f020b",
    "1.20.0": "bd28bae37714b45d5894d77160a16e2be36b64a3b618c81168b3684676aa498b",
    "1.20.1": "09002ca350ad42e76629995f71f7b518670bcf93548bdde3684fd55d2be51975",
    "1.20.2": "b41d604d16503c79d81af5165155c0b20f6c8d6c559efa66b4b695c3e5a0a0ce",
    "1.21.0": "937725d51330ffec9c7a26fdb5623baa135d8ba8ed78817ea9523538844e3ce4",
}
_SQLPARSE = {
    "0.4.2": "0c00730c74263a94e5a9919ade150dfc3b19c574389985446148402998287dae",
    "0.4.3": "69ca804846bb114d2ec380e4360a8a340db83f0ccf3afceeb1404df028f57268",
}
_XMLTODICT = {
    "0.12.0": "50d8c638ed7ecb88d90561beedbf720c9b4e851a9fa6c47ebd64e99d166d8a21",
    "0.13.0": "341595a488e3e01a85a9d8911d8912fd922ede5fecc4dce437eb4b6c8d037e56",
    "0.14.2": "201e7c28bb210e374999d1dde6382923ab0ed1a8a5faeece48ab525b7810a553",
    "0.15.0": "c6d46b4e3413d1e4fc3e5016f0f1c7a5c10f8ce39efaa0cb099af986ecfc9a53",
    "0.15.1": "3d8d49127f3ce6979d40a36dbcad96f8bab106d232d24b49efdd4bd21716983c",
}
_CACHETOOLS = {
    "5.2.0": "6a94c6402995a99c3970cc7e4884bb60b4a8639938157eeed436098bf9831757",
    "5.3.1": "dce83f2d9b4e1f732a8cd44af8e8fab2dbe46201467fc98b3ef8f269092bf62b",
}
_MISTUNE = {
    "2.0.2": "6fc88c3cb49dba8b16687b41725e661cf85784c12e8974a29b9d336dd596c3a1",
    "2.0.4": "9ee0a66053e2267aba772c71e06891fa8f1af6d4b01d5e84e267b4570d4d9808",
    "3.0.2": "fc7f93ded930c92394ef2cb6f04a8aabab4117a91449e72dcc8dfa646a508be8",
    "3.1.0": "dbcac2f78292b9dc066cd03b7a3a26b62d85f8159f2ea5fd28e55df79908d667",
}


def _parse(
    earlier: str, later: str, commit: str, own_tests: str = "tests", later_tests: str = "tests"
) -> Step:
    return Step(
        earlier=Release("parse", earlier, _PARSE[earlier]),
        later=Release("parse", later, _PARSE[later]),
        commit=commit,
        source="parse.py",
        breakage=Edit("parse.py", "= int_convert(8)", "= int_convert(10)"),
        own_tests=own_tests,
        later_tests=later_tests,
    )


def _xmltodict(earlier: str, later: str, commit: str) -> Step:
    return Step(
        earlier=Release("xmltodict", earlier, _XMLTODICT[earlier]),
        later=Release("xmltodict", later, _XMLTODICT[later]),
        commit=commit,
        source="xmltodict.py",
        breakage=Edit(
            "xmltodict.py", "self.path.append((name, attrs or None))", "self.path.append((name, None))"
        ),
    )


def _mistune(earlier: str, later: str, commit: str, source: str) -> Step:
    return Step(
        earlier=Release("mistune", earlier, _MISTUNE[earlier]),
        later=Release("mistune", later, _MISTUNE[later]),
        commit=commit,
        source=source,
        breakage=Edit(f"{source}util.py", 's.replace("<", "&lt;")', 's.replace("<", "&gt;")'),
    )


PARSE_18 = _parse(
    "1.18.0", "1.19.0", "9d03160c448b178c41d79ee1569f262cb556772a", "test_parse.py", "test_parse.py"
)
PARSE_19 = _parse("1.19.0", "1.20.0", "5c9405dacf42e1b00d17815af4ff0064f3269020", "test_parse.py")
PARSE_20 = _parse("1.20.0", "1.20.1", "8ddb8ab3ea704176789d12113406231c44278ce9")
PARSE_20_1 = _parse("1.20.1", "1.20.2", "b7ff80c95b32322c1f92a36991092e243e0b4143")
PARSE_20_2 = _parse("1.20.2", "1.21.0", "02594be4d8f59153ce20e3bb14c300c6205f7ec5")
XMLTODICT_12 = _xmltodict("0.12.0", "0.13.0", "b49bd7b4c2ed672a2806f59c63a315d2b88ad993")
XMLTODICT_13 = _xmltodict("0.13.0", "0.14.2", "7ce0aa88e370fa9112dbe2c55a8c193cb6a33e09")
XMLTODICT_14 = _xmltodict("0.14.2", "0.15.0", "7dc5cdb276e63e6649e797ba442f9b2529dee581")
XMLTODICT_15 = _xmltodict("0.15.0", "0.15.1", "c7afa29220ff2a4d9ee58cf5d31b7f377f837f35")
MISTUNE_2 = _mistune("2.0.2", "2.0.4", "8b661b9657283598ebb0be3a2501ee07bec7cdc1", "mistune/")
MISTUNE_3 = _mistune("3.0.2", "3.1.0", "13a535fd55f38046bb71c9d9262fb503717ba8c4", "src/mistune/")
SQLPARSE = Step(
    earlier=Release("sqlparse", "0.4.2", _SQLPARSE["0.4.2"]),
    later=Release("sqlparse", "0.4.3", _SQLPARSE["0.4.3"]),
    commit="afd9a9dd9b2b268a9afd7c905a854678586f8abd",
    source="sqlparse/",
    breakage=Edit("sqlparse/utils.py", "outputlines[-1] += line", "outputlines[-1] = line"),
)
CACHETOOLS = Step(
    earlier=Release("cachetools", "5.2.0", _CACHETOOLS["5.2.0"]),
    later=Release("cachetools", "5.3.1", _CACHETOOLS["5.3.1"]),
    commit="ead34189bc8dc8820903c465f494603b3962a0ba",
    source="src/cachetools/",
    breakage=Edit(
        "src/cachetools/__init__.py",
        "while self.__currsize + size > maxsize:",
        "while self.__currsize + size >= maxsize:",
    ),
)

BUGS = (
    Bug(
        id="parse-slice",
        step=PARSE_18,
        report="""\
A `Result` of `parse` can't be sliced: `parse.Result((1, 2, 3, 4), {}, None)[1:3]` raises a KeyError, where it
should give `(2, 3)`, as slicing the tuple of the fixed fields does. Make any slice work.
""",
        tests=("test_parse.py::TestResult::test_slice_access",),
        fix=(13,),
    ),
    Bug(
        id="parse-last-newline",
        step=PARSE_18,
        report="""\
`parse.parse('{}', 'test\\n')[0]` gives `'test'`. A newline at the end of the string is lost; the format must
match the whole string, and the result be `'test\\n'`.
""",
        tests=("test_parse.py::TestBugs::test_match_trailing_newline",),
        fix=(9,),
    ),
    Bug(
        id="parse-numbered",
        step=PARSE_18,
        report="""\
A numbered field, as in `{0}`, is made a group with a name in the regular expression, though it is a fixed
field like `{}`. `{0} {1}` should become `(.+?) (.+?)`, and `{0:f} {1:f}` two plain groups for numbers.
""",
        tests=("test_parse.py::TestPattern::test_numbered",),
        fix=(10, 11),
    ),
    Bug(
        id="parse-sign",
        step=PARSE_19,
        report="""\
A format specification may hold a sign: `{:+.7f}`, `{:-.7f}`, `{: .7f}`. `parse` raises a ValueError for
these. It should take them, and ignore the sign: `parse.parse("Pi = {:+.7f}", "Pi = 3.1415926").fixed` is
`(3.1415926,)`.
""",
        tests=("tests/test_parse.py::test_sign",),
        fix=(32,),
    ),
    Bug(
        id="parse-subseconds",
        step=PARSE_20,
        report="""\
`{dt:%Y-%m-%d %H:%M:%S.%f}` matches `2023-11-21 13:23:27.123456`, but not `2023-11-21 13:23:27.123`. As in
`datetime.strptime`, one to six digits should do.
""",
        tests=("tests/test_parse.py::test_datetime_with_various_subsecond_precision",),
        fix=(2,),
    ),
    Bug(
        id="parse-format-attribute",
        step=PARSE_20,
        report="""\
A compiled parser should tell its format: `parse.compile("hello {}").format` is `"hello {}"`. It must not be
possible to set it (AttributeError).
""",
        tests=("tests/test_parse.py::test_parser_format",),
        fix=(3,),
    ),
    Bug(
        id="parse-hyphen",
        step=PARSE_20_1,
        report="""\
Names of fields can't hold a hyphen: `parse.search("/sub/{user-id}/x", "/sub/16/x")` finds nothing. It should,
under `result["user-id"]`, also beside `{user_id}` and `{user.id}` in the same format. The group of
`{user-id}` is to be `user_id`, and where that is taken, one with more underscores, as it is for dots today.
""",
        tests=(
            "tests/test_parse.py::test_hyphen_inside_field_name",
            "tests/test_parse.py::test_hyphen_inside_field_name_collision_handling",
        ),
        fix=(2, 5),
    ),
    Bug(
        id="parse-grouping",
        step=PARSE_20_2,
        report="""\
Python formats thousands with `{:,d}` and `{:_d}`; `parse` refuses both. `parse.parse("a {:,d} b",
"a -1,000,000 b")` should give -1000000, and `{:_d}` the same for `-1_000_000`.
""",
        tests=("tests/test_parse.py::test_numbers",),
        fix=(4, 5),
    ),
    Bug(
        id="sql-create-table-as",
        step=SQLPARSE,
        report="""\
In `CREATE TABLE tbl1 AS SELECT coalesce(t1.col1, 0) AS col1 FROM t1`, the function is not grouped, since
functions are not looked for where a statement begins with CREATE TABLE. With `AS` in it they should be:
`tokens[10].get_alias()` is `col1` then. `CREATE TABLE db.tbl (a string)` must stay as it is.
""",
        tests=(
            "tests/test_grouping.py::test_grouping_alias_ctas",
            "tests/test_grouping.py::test_grouping_create_table",
        ),
        fix=(2, 3, 4, 5, 6, 7, 8),
    ),
    Bug(
        id="sql-div",
        step=SQLPARSE,
        report="""\
`DIV` (MySQL's integer division) is no operator: in `col1 DIV 5 AS div_col1` the alias should be found, and
the token `DIV` have the type `Operator`.
""",
        tests=("tests/test_parse.py::test_parse_div_operator",),
        fix=(13,),
    ),
    Bug(
        id="sql-any-alphabet",
        step=SQLPARSE,
        report="""\
Identifiers in other alphabets are not recognised: `業者名稱` is taken apart, and should be one Identifier
with that name.
""",
        tests=("tests/test_parse.py::test_valid_identifier_names",),
        fix=(12,),
    ),
    Bug(
        id="sql-time-zone",
        step=SQLPARSE,
        report="""\
With `reindent`, the space between `from` and `bar` is lost in
`SELECT f(HOUR from bar AT TIME ZONE 'UTC') from foo`. Expected is
`SELECT f(HOUR\\n         from bar AT TIME ZONE 'UTC')\\nfrom foo`.
""",
        tests=("tests/test_regressions.py::test_issue562_tzcasts",),
        fix=(2, 3, 4),
    ),
    Bug(
        id="sql-backticks",
        step=SQLPARSE,
        report="""\
`sqlparse.utils.remove_quotes` removes single and double quotes, and should also remove MySQL's backticks.
""",
        tests=("tests/test_utils.py",),
        fix=(21,),
    ),
    Bug(
        id="xml-collapse-all",
        step=XMLTODICT_12,
        report="""\
`namespaces` may say None for a namespace, to leave it out of names. With
`collections.defaultdict(lambda: None)` all should be left out, but nothing is: a default is never asked for.
Make it work; a plain dict must behave as before.
""",
        tests=("tests/test_xmltodict.py::XMLToDictTestCase::test_namespace_collapse_all",),
        fix=(7, 8),
    ),
    Bug(
        id="xml-int-indent",
        step=XMLTODICT_13,
        report="""\
`xmltodict.unparse({'a': {'b': 1}}, pretty=True, indent=2)` raises a TypeError. As with `json.dumps`, an
integer should work there as a number of spaces; a string as before.
""",
        tests=("tests/test_dicttoxml.py::DictToXMLTestCase::test_pretty_print_with_int_indent",),
        fix=(15,),
    ),
    Bug(
        id="xml-streaming-attributes",
        step=XMLTODICT_13,
        report="""\
With `item_depth=2`, the callback for `<a><b attr1="value"><c>cdata</c></b></a>` gets `{'c': 'cdata'}`. The
attributes of the element itself are missing: it should be `{'@attr1': 'value', 'c': 'cdata'}`.
""",
        tests=("tests/test_xmltodict.py::XMLToDictTestCase::test_streaming_attrs",),
        fix=(6,),
    ),
    Bug(
        id="xml-injection",
        step=XMLTODICT_14,
        report="""\
`xmltodict.unparse` writes names as they are, so that a key with `<` or `>` in it makes elements of its own:
`{"m><tag>content</tag": "unsafe"}`. Names of elements, of attributes and prefixes in `@xmlns` that hold
either must raise a ValueError.
""",
        tests=tuple(
            f"tests/test_dicttoxml.py::DictToXMLTestCase::test_rejects_{what}"
            for what in (
                "tag_name_with_angle_brackets",
                "attribute_name_with_angle_brackets",
                "malicious_xmlns_prefix",
            )
        ),
        fix=(2, 3, 4, 5),
    ),
    Bug(
        id="xml-names-with-spaces",
        step=XMLTODICT_15,
        report="""\
`xmltodict.unparse` refuses names with angle brackets. It should also refuse such with white space in them, as
in `{"bad name": "x"}`, with a ValueError.
""",
        tests=("tests/test_dicttoxml.py::DictToXMLTestCase::test_rejects_tag_name_with_whitespace",),
        fix=(2, 4),
    ),
    Bug(
        id="cache-info",
        step=CACHETOOLS,
        report="""\
`functools.lru_cache` has `cache_info()`; the `@cached` decorator has nothing of the kind. Give it a parameter
`info=False`. When it is true, the decorated function gets a `cache_info()` that returns a named tuple (hits,
misses, maxsize, currsize), and its `cache_clear()` also resets the counts. It has to work with and without a
lock, and with everything that `cached` accepts as a cache.
""",
        tests=("tests/test_cached.py",),
        fix=(2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13),
    ),
    Bug(
        id="markdown-short-rows",
        step=MISTUNE_2,
        report="""\
The table plugin loses columns where a row is shorter than the table's head. It should fill such rows up with
empty cells.
""",
        tests=("tests/test_plugins.py::TestPlugin_table::test_misc_table_008",),
        fix=(5,),
    ),
    Bug(
        id="markdown-ampersands",
        step=MISTUNE_3,
        report="""\
The fenced directive `{image}` writes an ampersand in the source or in `:target:` twice escaped, as
`&amp;amp;`. Expected is `src="https://example.com/picture.png?foo=qux&amp;test=me"`.
""",
        tests=("tests/test_directives.py::TestDirective_fenced_image",),
        fix=(25, 63, 83, 84, 155, 160, 161, 232, 234),
    ),
)
