"""One file for each on-disk format; `formats.py` is the table of them."""
