"""SIMULATED: a judge that nobody trained, behind an OpenAI-compatible API on loopback. Standard library only.

    python judge.py [--port 8791]

It scores by a few regular expressions that follow rubrics/tone.md, says the same of the same answer, and every reason
it gives says that it is simulated. It reads the material as a real judge is told to: only lines of marks with the code
of the first line bound it.
"""

import argparse
import json
import math
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MODEL = "desk-judge-1"

_CODE = re.compile(r"The code of this material is (\w+)\.")
_BLAME = re.compile(r"\byou should have\b|\byour (?:own )?fault\b", re.IGNORECASE)
_ORDER = re.compile(r"\b[A-F]-\d{4}\b")
_CRITERIA = (
    ("opens with regret or thanks", re.compile(r"\A\W*(?:i am |we are )?(?:sorry|thank|of course|i understand)", re.I)),
    ("says what happens next or by when", re.compile(r"\b(?:days?|minutes|we (?:send|refund|start|pay))\b", re.I)),
)


def judged(message: str) -> dict[str, Any]:
    """The reason and the score for one rendered item.

    Raises:
        ValueError: If the message holds no material.
    """
    code = _CODE.match(message)
    if code is None:
        raise ValueError("this judge only reads watchkeeper's material")
    asked, response = (_part(message, code[1], name) for name in ("input", "response"))
    if _BLAME.search(response):
        return {"reason": "SIMULATED judge: blames the customer.", "score": 1}
    lacks = [name for name, pattern in _CRITERIA if not pattern.search(response)]
    if (order := _ORDER.search(asked)) and order[0] not in response:
        lacks.append("names the order")
    if len(re.findall(r"[.!?](?:\s|\Z)", response)) > 4:
        lacks.append("is at most four sentences")
    found = f"does not fulfil: {', '.join(lacks)}" if lacks else "fulfils all four criteria"
    return {"reason": f"SIMULATED judge: {found}.", "score": 5 - len(lacks)}


def _part(message: str, code: str, name: str) -> str:
    found = re.search(rf"(?ms)^<<<{code} {name}>>>\n(.*?)\n<<<{code} end of {name}>>>$", message)
    return found[1] if found else ""


class _Api(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """The list of models."""
        self._answer(200, {"object": "list", "data": [{"id": MODEL, "object": "model", "owned_by": "simulated"}]})

    def do_POST(self) -> None:
        """One judgement."""
        try:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            asked = body["messages"][-1]["content"]
            if body["model"] != MODEL:
                return self._refuse(404, "model_not_found", f"there is only {MODEL}")
            text = json.dumps(judged(asked))
        except (KeyError, IndexError, TypeError, ValueError) as problem:
            return self._refuse(400, "bad_request", str(problem))
        said, given = sum(len(m["content"]) for m in body["messages"]), len(text)
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        usage = {"prompt_tokens": math.ceil(said / 4), "completion_tokens": math.ceil(given / 4)}
        answer = {"id": "simulated", "object": "chat.completion", "model": MODEL, "choices": [choice], "usage": usage}
        return self._answer(200, answer)

    def log_message(self, *_: Any) -> None:
        """Nothing is logged: requests hold customers' words."""

    def _refuse(self, status: int, code: str, message: str) -> None:
        self._answer(status, {"error": {"message": message, "type": "invalid_request_error", "code": code}})

    def _answer(self, status: int, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def main() -> None:
    """Serve until stopped."""
    parser = argparse.ArgumentParser(description="A simulated judge.")
    parser.add_argument("--port", type=int, default=8791)
    server = _Server(("127.0.0.1", parser.parse_args().port), _Api)
    print(f"SIMULATED judge {MODEL}", flush=True)
    print(f"listening on http://127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
