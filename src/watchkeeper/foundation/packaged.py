"""Where flows/, runbooks/, prefect.yaml and the example lie.

In a wheel they lie beside the code, in a checkout at its root; both run the same files.
"""

from pathlib import Path

from watchkeeper.foundation.errors import Misconfigured

_PACKAGE = Path(__file__).resolve().parents[1]


def packaged(name: str) -> Path:
    """The path of a packaged file or folder, e.g. packaged("flows").

    Raises:
        Misconfigured: If it is neither in the wheel nor in the checkout.
    """
    for root in (_PACKAGE, _PACKAGE.parents[1]):
        if (root / name).exists():
            return root / name
    raise Misconfigured(f"{name} is missing from this installation of watchkeeper; install it again")
