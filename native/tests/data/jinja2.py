"""Renders the snippets of jinja2.json anew: python3 jinja2.py (needs the package jinja2).

The file holds `variables` and `snippets`, pairs of a template and its text as the environment of transformers renders
it, null where that fails. A new snippet is added with null and gets its text here.
"""

import copy
import json
import pathlib
import sys

sys.path.pop(0)  # this file is called as the package is
from jinja2 import ext, nodes, pass_eval_context
from jinja2.exceptions import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment


class Generation(ext.Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    @pass_eval_context
    def _body(self, context, caller):
        return caller()


def raise_exception(message):
    raise TemplateError(message)


def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )


def render(source, variables):
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, ext.loopcontrols]
    )
    environment.filters["tojson"] = tojson
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = lambda pattern: "1970" if pattern == "%Y" else "01 Jan 1970"
    try:
        return environment.from_string(source).render(**copy.deepcopy(variables))
    except Exception:  # whatever fails
        return None


path = pathlib.Path(__file__).with_name("jinja2.json")
data = json.loads(path.read_text("utf-8"))
snippets = [[source, render(source, data["variables"])] for source, _ in data["snippets"]]
lines = ",\n".join(json.dumps(snippet, ensure_ascii=False) for snippet in snippets)
variables = json.dumps(data["variables"], ensure_ascii=False)
path.write_text('{"variables": %s,\n"snippets": [\n%s\n]}\n' % (variables, lines), "utf-8")
print(len(snippets), "snippets,", sum(text is None for _, text in snippets), "fail")
