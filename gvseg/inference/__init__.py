"""Frames in, segments with identities out."""
