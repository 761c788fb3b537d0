"""Passing what trials report on to other tools: `--log`."""
