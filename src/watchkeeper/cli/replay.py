"""`replay`: a recorded model behind an OpenAI-compatible API, on loopback."""

from pathlib import Path
from typing import Annotated

import typer


def replay(
    files: Annotated[list[Path], typer.Argument(help="Recorded calls, .jsonl or .jsonl.gz.")],
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 picks a free one.")] = 8790,
    latency: Annotated[str, typer.Option("--latency", help="recorded, none, or milliseconds.")] = "none",
    fault: Annotated[
        list[str] | None,
        typer.Option("--fault", help="STATUS=PROBABILITY or hang=PROBABILITY; may be repeated.", show_default=False),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the faults.")] = 0,
) -> None:
    """Serve recorded answers. A file that grows is read again, so a model can appear."""
    from watchkeeper.providers.recorded import Faults
    from watchkeeper.web.listen import listen
    from watchkeeper.web.replay import FileRecordings, latency_of, replay_app

    application = replay_app(FileRecordings(files), latency=latency_of(latency), faults=Faults(fault or [], seed=seed))
    listen(application, host="127.0.0.1", port=port)
