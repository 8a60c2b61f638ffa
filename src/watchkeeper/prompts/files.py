"""Prompt versions kept in source control: prompts/ID/VERSION.md, one file a version, never edited."""

from pathlib import Path

from watchkeeper.foundation.errors import Misconfigured, NotFound
from watchkeeper.prompts.template import TemplateProblem, check


def read_prompt(folder: Path, prompt_id: str, version: str) -> str:
    """The template text of one prompt version.

    Raises:
        NotFound: If there is no such prompt or no such version; names the nearest.
        Misconfigured: If the file is not a template.
    """
    prompts = sorted(p.name for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []
    if prompt_id not in prompts:
        raise NotFound("prompt", prompt_id, prompts, where=f"in {folder.name}/")
    versions = sorted(p.stem for p in (folder / prompt_id).glob("*.md"))
    if version not in versions:
        raise NotFound(f"version of prompt {prompt_id!r}", version, versions, where=f"in {folder.name}/{prompt_id}/")
    source = (folder / prompt_id / f"{version}.md").read_text("utf-8").strip()
    try:
        check(source)
    except TemplateProblem as problem:
        raise Misconfigured(f"{folder.name}/{prompt_id}/{version}.md: {problem}") from None
    return source
