"""watchkeeper keeps an LLM application good after launch.

This import is what an application carries, so it loads nothing heavy; the operational side
comes with ``pip install "watchkeeper[ops]"``.
"""

__version__ = "0.1.0"

__all__ = ["__version__"]
