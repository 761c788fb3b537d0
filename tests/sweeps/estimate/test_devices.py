"""The table of devices names GPUs on which studies run."""

import pytest
import torch

from sweeps.estimate.devices import CPU, RATES

# Compute capabilities, from NVIDIA's list.
CAPABILITIES = {
    "T4": 7.5,
    "A100": 8.0,
    "A10": 8.6,
    "A10G": 8.6,
    "RTX 3090": 8.6,
    "L4": 8.9,
    "L40S": 8.9,
    "RTX 4090": 8.9,
    "H100": 9.0,
    "H200": 9.0,
}


def test_the_capability_of_every_gpu_in_the_table_is_known() -> None:
    assert set(CAPABILITIES) == set(RATES) - {CPU}


@pytest.mark.skipif(not torch.version.cuda, reason="this torch is built without CUDA")
@pytest.mark.parametrize("name", CAPABILITIES)
def test_torch_is_built_for_every_gpu_in_the_table(name: str) -> None:
    """Code for a capability runs on later ones of the same major number. The locked torch has
    none for 7.0, so that a V100 in the table would be a promise that no trial keeps."""
    built = [int(flag.removeprefix("sm_")) / 10 for flag in torch._C._cuda_getArchFlags().split()]
    capability = CAPABILITIES[name]
    assert any(int(one) == int(capability) and one <= capability for one in built), built
