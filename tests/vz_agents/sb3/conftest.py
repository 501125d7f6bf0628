"""Without SB3 there is nothing to test here."""

from __future__ import annotations

import pytest

pytest.importorskip("stable_baselines3", reason="the extra sb3 is not installed")
