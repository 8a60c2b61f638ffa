"""The files of a new project."""

from pathlib import Path

from watchkeeper.foundation.errors import Misconfigured

_TOML = """\
# watchkeeper: every key can also be set as WATCHKEEPER_SECTION__KEY.
[store]
url = "sqlite:///watchkeeper.db"          # or postgresql+psycopg://user@host/name

[web]
host = "127.0.0.1"
port = 8700
base_url = "http://127.0.0.1:8700"        # how people reach the pages; used in messages

[providers.openai]
kind = "openai"                           # any server that speaks chat completions; or "anthropic"
base_url = "https://api.openai.com/v1"
api_key_env = "OPENAI_API_KEY"            # the variable's name, never the key
concurrency = 50
timeout_seconds = 60

# A feature of your application and the model it calls now. A new version of that model's family
# is checked with every suite that names the route.
[routes."support.answer"]
model = "openai/gpt-5-mini"

[slack]
channel = "#llm-oncall"
token_env = "SLACK_BOT_TOKEN"             # without it messages wait in the outbox and are printed

[runbooks]
path = "runbooks"                         # pages here win over ours of the same name
base_url = ""
"""

_SUITE = """\
description: The answer names the order it is about.
routes: [support.answer]
prompt: {id: answer, version: "1"}        # prompts/answer/1.md; a new version is a new file
params: {}
repeats: 1
scorers:
  - {name: order_number, kind: contains, equals: "{{ reference }}", primary: true, margin: 0.05}
"""

_PROMPT = """\
You are a support agent. Answer the customer in at most three sentences and
repeat the order number exactly.

Customer: {{ input }}
"""

_CASES = """\
{"id": "late-parcel", "input": "My order A-1042 has not arrived, where is it?", "reference": "A-1042"}
{"id": "wrong-size", "input": "I got order B-77 in the wrong size. Can I swap it?", "reference": "B-77"}
{"id": "refund-state", "input": "When will the refund for C-2001 reach my card?", "reference": "C-2001"}
"""

_RUNBOOKS = """\
Put a page named after an incident kind here (for example `model-regressed.md`) and it wins over the
page that comes with watchkeeper. See one: `watchkeeper runbooks show model-regressed`.
"""

_IGNORE = """\
watchkeeper.db*
facts/
.watchkeeper/
"""

_FILES = {
    "watchkeeper.toml": _TOML,
    "suites/answer/suite.yaml": _SUITE,
    "suites/answer/cases.jsonl": _CASES,
    "prompts/answer/1.md": _PROMPT,
    "runbooks/README.md": _RUNBOOKS,
    ".gitignore": _IGNORE,
}


def scaffold(folder: Path) -> list[Path]:
    """Write a new project's files; never overwrites one.

    Raises:
        Misconfigured: If the folder holds a project already, or cannot be written.
    """
    if (folder / "watchkeeper.toml").exists():
        raise Misconfigured(f"{folder / 'watchkeeper.toml'} is already there; edit it, or choose another folder")
    written = []
    try:
        for name, text in _FILES.items():
            path = folder / name
            if path.exists():
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
            written.append(path)
    except OSError as error:
        raise Misconfigured(f"{error.filename}: cannot be written: {error.strerror}") from None
    return written
