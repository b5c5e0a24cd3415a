"""Settings of all unit tests: Hypothesis asks whether something holds, not how long that takes on a busy machine."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("crowsnest", deadline=None)
settings.load_profile("crowsnest")
