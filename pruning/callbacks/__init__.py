"""Callbacks that hold masks in the trainings of Lightning and of Hugging Face's `Trainer`; each
needs its library, `pip install --editable '.[lightning]'` or `'.[transformers]'`."""
