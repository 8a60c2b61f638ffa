"""How jobs ended, as the store has it; the only file here that queries it."""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlmodel import Session

from watchkeeper.foundation.clock import as_utc
from watchkeeper.observability import tables as records
from watchkeeper.spending.resolutions import Outcome

_RESOLUTIONS = records.Resolution.metadata.tables["resolutions"]
_AT_ONCE = 5_000
"""Values in one IN (…); both engines stop somewhere above 32,000."""


def outcomes(session: Session, job_ids: Sequence[str]) -> dict[str, Outcome]:
    """The ends of these jobs; one of which nobody said anything is not in it."""
    c = _RESOLUTIONS.c
    found: dict[str, Outcome] = {}
    for start in range(0, len(job_ids), _AT_ONCE):
        some = job_ids[start : start + _AT_ONCE]
        for job_id, resolved, at in session.execute(sa.select(c.job_id, c.resolved, c.at).where(c.job_id.in_(some))):
            found[job_id] = Outcome(resolved=bool(resolved), at=as_utc(at))
    return found
