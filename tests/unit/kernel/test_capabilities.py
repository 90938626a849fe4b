from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostagent.kernel import capabilities


@given(st.sets(st.sampled_from(capabilities.NAMES)))
def test_names_and_masks_are_inverse(names: set[str]) -> None:
    assert set(capabilities.names(capabilities.mask(names))) == names


def test_unknown_name() -> None:
    with pytest.raises(ValueError, match="CAP_FLY"):
        capabilities.mask(["CAP_FLY"])


def test_numbers_are_the_kernels() -> None:
    """<linux/capability.h>."""
    assert capabilities.mask(["CAP_SYS_ADMIN"]) == 1 << 21
    assert capabilities.mask(["CAP_CHECKPOINT_RESTORE"]) == 1 << 40


def test_only_what_the_host_has() -> None:
    sets = capabilities.CapabilitySets(bounding=0b111, effective=0b101)
    assert sets.limited_to(0b110) == capabilities.CapabilitySets(bounding=0b110, effective=0b100)
