"""Go templates as docker users write them."""

from __future__ import annotations

import pytest

from machine.cli.template import Template
from machine.errors import Usage

DATA = {
    "Names": "web",
    "State": {"Pid": 5, "Running": True, "Health": None},
    "Labels": {"a.b": "c"},
    "List": ["a", "b"],
    "Empty": [],
    "Net": {
        "Ports": {"80/tcp": [{"HostPort": "8080"}], "90/tcp": None},
        "Networks": {"bridge": {"IP": "1.2"}},
    },
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{.Names}}: {{ .State.Pid }}", "web: 5"),
        ("{{json .State}}", '{"Pid":5,"Running":true,"Health":null}'),
        ("{{json .}}", None),
        ('{{index .Labels "a.b"}}{{index .Labels "none"}}', "c"),
        ('{{(index (index .Net.Ports "80/tcp") 0).HostPort}}', "8080"),
        ("{{range .Net.Networks}}{{.IP}}{{end}}", "1.2"),
        ("{{range $k, $v := .Net.Networks}}{{$k}}={{$v.IP}}{{end}}", "bridge=1.2"),
        ("{{range $i, $e := .List}}{{if $i}},{{end}}{{$e}}{{end}}", "a,b"),
        ("{{range .Empty}}x{{else}}none{{end}}", "none"),
        ("{{if .State.Running}}up{{else}}down{{end}}", "up"),
        ('{{if eq .Names "x"}}1{{else if eq .Names "web"}}2{{else}}3{{end}}!', "2!"),
        ("{{with .State}}{{.Pid}}{{$.Names}}{{end}}", "5web"),
        ("{{if .State.Health}}{{.State.Health.Status}}{{else}}-{{end}}", "-"),
        ('{{join .List ","}} {{upper .Names}} {{len .List}}', "a,b WEB 2"),
        ('{{.Names | upper | printf "%s!"}}', "WEB!"),
        ("{{$x := .Names}}{{$x}}{{/* nothing */}}", "web"),
        ("a {{- .Names -}} b", "awebb"),
        ("{{.List}} {{.Labels}} {{.State.Running}}", "[a b] map[a.b:c] true"),
        ('{{and .Names .State.Pid}} {{or .Empty "x"}} {{not .Names}}', "5 x false"),
        ('{{"}}"}}', "}}"),
    ],
)
def test_fill(text: str, expected: str | None) -> None:
    filled = Template(text).fill(DATA)
    assert expected is None or filled == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{{.names}}", r"no field .names. Did you mean .Names"),
        ("{{.Foo}}", "There is: Names"),
        ("{{.Names", "without"),
        ("{{foo .}}", "no function"),
        ("{{if .Names}}", "end"),
        ("{{end}}", "too many"),
        ("{{.Names.X}}", "no fields"),
        ("{{index .List 9}}", "index"),
        ("{{}}", "missing"),
    ],
)
def test_errors(text: str, words: str) -> None:
    with pytest.raises(Usage, match=words):
        Template(text).fill(DATA)
