"""Devices that trials run on: how fast each trains, and how a price or a row names it."""

from sweeps.study_file.prices import match_device

# Floating-point operations a second in training. A CPU core: measured with ResNet-18 in bf16 on a
# CPU with AMX (105 images/s; 35 in fp32). GPUs: 13 % of the dense half-precision peak of the data
# sheet, which is what a careful script reaches on an A100 (about 12,000 images/s of ResNet-18).
# Trials that are done, or --time-epochs, replace these figures.
CPU = "cpu"
PEAK_SHARE = 0.13
RATES = {
    CPU: 2.0e11,
    **{
        name: PEAK_SHARE * peak
        for name, peak in {
            "T4": 65e12,
            "L4": 121e12,
            "A10": 125e12,
            "A10G": 70e12,
            "L40S": 362e12,
            "A100": 312e12,
            "H100": 989e12,
            "H200": 989e12,
            "RTX 3090": 71e12,
            "RTX 4090": 165e12,
        }.items()
    },
}
TYPICAL_GPU = "A100"  # what is meant where nothing says which


def name_in_table(device: str) -> str:
    """What the table calls a device; its own name where it is not in the table."""
    return match_device(device, list(RATES)) or device


def training_rate(device: str) -> float:
    """Operations a second of one device, or of one core of a CPU; those of `TYPICAL_GPU` where it
    is not known."""
    return RATES.get(device, RATES[TYPICAL_GPU])


def hours_unit(device: str) -> str:
    """What an hour of a device is called: of a GPU, or of one core of a CPU."""
    return "CPU core hours" if device == CPU else f"{device} hours"
