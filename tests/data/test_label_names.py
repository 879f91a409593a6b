"""Names for labels: what is read, what is one value, and what is refused."""

import json
import unicodedata

import pytest

from landmarkfer.data.label_names import (
    check_named,
    is_number,
    label_value,
    make_label_names,
    name_of,
    read_label_names,
)
from landmarkfer.errors import SettingsError

RAFDB = {"1": "surprise", "2": "fear", "3": "disgust", "4": "happy", "5": "sad", "6": "angry", "7": "neutral"}


@pytest.fixture
def names_file(tmp_path):
    def write(text: str | bytes, name: str = "names.txt"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    return write


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("3", "3"),
        ("3.0", "3"),
        (" 03 ", "3"),
        ("+3.", "3"),
        (3, "3"),
        (3.0, "3"),
        ("-1", "-1"),
        ("-0", "0"),
        ("\uff13", "3"),  # full width
        ("\u200b3\u00a0", "3"),  # zero-width and non-breaking spaces
        ("\ufeff3\u2060", "3"),
        ("3.5", "3.5"),
        ("9" * 5000, "9" * 5000),
        ("Happy", "happy"),
        ("STRASSE", "strasse"),
        ("Straße", "strasse"),
        ("very\u00a0 happy", "very happy"),
        ("cafe\u0301", unicodedata.normalize("NFC", "café")),
    ],
)
def test_one_value_in_many_spellings(value, expected):
    assert label_value(value) == expected


@pytest.mark.parametrize(
    ("label", "expected"),
    [("7", True), ("7.0", True), (" 07", True), ("3_happy", False), ("", False), ("7.5", False)],
)
def test_numbers(label, expected):
    assert is_number(label) is expected


def test_pairs_of_the_command_line():
    assert read_label_names(["1=Surprised", "2=FEAR", "10=", "Freude=happiness"]) == {
        "1": "surprise",
        "2": "fear",
        "10": None,
        "freude": "happy",
    }
    assert read_label_names([]) == {}
    assert read_label_names(["1=happy", "1.0=joy"]) == {"1": "happy"}, "one name twice"


@pytest.mark.parametrize(
    "text",
    [
        "\n".join(f"{value}={name}" for value, name in RAFDB.items()),
        "\r\n".join(f"{value},{name}" for value, name in RAFDB.items()),
        "value;name\n" + "".join(f"{value} ; {name}\n" for value, name in RAFDB.items()),
        "# of RAF-DB\n\nlabel\temotion\n" + "".join(f"{value}\t{name}\n" for value, name in RAFDB.items()),
        "".join(f'"{value}","{name.upper()}"\n' for value, name in RAFDB.items()),
        json.dumps(RAFDB, indent=1),
        "\ufeff" + json.dumps({f"{value}.0": name for value, name in RAFDB.items()}),
        "\ufeff" + "".join(f"{value}={name}\n" for value, name in RAFDB.items()),
    ],
)
def test_files(names_file, text):
    assert read_label_names([names_file(text)]) == RAFDB


def test_files_and_pairs_together(names_file):
    assert read_label_names([names_file("1=happy\n2=\n"), "3=sad"]) == {"1": "happy", "2": None, "3": "sad"}
    assert read_label_names([names_file('{"1": "happy", "2": null, "3": ""}')]) == {
        "1": "happy",
        "2": None,
        "3": None,
    }


def test_a_file_whose_name_looks_like_a_pair(names_file, tmp_path, monkeypatch):
    names_file("4=sad\n", "1=happy")
    monkeypatch.chdir(tmp_path)
    assert read_label_names(["1=happy"]) == {"4": "sad"}


def test_a_label_keeps_what_is_not_named():
    names = read_label_names(["1=happy", "2="])
    assert [name_of(label, names) for label in ("1", "1.0", "2", "3", "sad")] == [
        "happy",
        "happy",
        None,
        "3",
        "sad",
    ]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            ["surprise"],
            "'surprise' gives no names of labels: it is no file; expected VALUE=NAME, such as 1=surp",
        ),
        (["missing.txt"], "'missing.txt' gives no names"),
        (["=happy"], "'=happy' name an empty value"),
        (["\u200b=happy"], "name an empty value"),
        (["1=happy", "1.0=sad"], "call '1' both 'happy' and 'sad'.*keep one"),
        (["1=happy", "1="], "call '1' both 'happy' and ''"),
        (["1=2"], "the name '2', a number"),
        (["x" * 5000], "gives no names"),
        (["\0"], "gives no names"),
    ],
)
def test_bad_items(given, message):
    with pytest.raises(SettingsError, match=message) as raised:
        read_label_names(given)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "are none"),
        ("# nothing\n", "are none"),
        ("value,name\n", "are none"),
        ("1=happy\nsad\n", "line 2: 'sad' is not VALUE=NAME"),
        ("1=happy\n1,sad\n", "call '1' both"),
        ('{"1": "happy", "1": "sad"}', "call '1' both"),
        ('{"1": ["happy"]}', r"the name \['happy'\]; a name is a text"),
        ('{"1": {"a": "b"}}', "a name is a text"),
        ('{"1": 2}', "the name 2; a name is a text"),
        ("{}", "no JSON object of names"),
        ('["happy", "sad"]', "no JSON object of names"),
        ('{"1": ', "are no JSON"),
        ("[" * 100_000, "are no JSON"),
        (b"1=\xff\xfe\n", "cannot be read .* save them as UTF-8"),
        ("1=happy".encode("utf-16"), "cannot be read|is not VALUE=NAME"),
    ],
)
def test_bad_files(names_file, text, message):
    path = names_file(text)
    with pytest.raises(SettingsError, match=message) as raised:
        read_label_names([path])
    assert path in str(raised.value)


def test_numbers_are_listed_with_how_to_name_them():
    check_named(["happy", "3_sad"], "a cache")
    with pytest.raises(
        SettingsError, match=r"labels 1, 2, 10 of a cache are numbers.*--label-names 1=surprise"
    ):
        check_named(["10", "1", "2.0", "happy"], "a cache")
    with pytest.raises(SettingsError, match=r"the label 7 of a cache is a number"):
        check_named(["7"], "a cache")


def test_names_as_python_gives_them(names_file):
    expected = {"1": "happy", "2": None}
    assert make_label_names({1: "Happiness", 2.0: None}) == expected
    assert make_label_names(names_file("1=happy\n2=\n")) == expected
    assert make_label_names(["1=happy", "2="]) == expected
    assert make_label_names("1=happy") == {"1": "happy"}
    assert make_label_names(None) == {} == make_label_names({})
    with pytest.raises(SettingsError, match="both 'happy' and 'sad'"):
        make_label_names({1: "happy", "1": "sad"})
