"""Coding of a folder's clips in the page: frames off the disk, proposals of deft, a file per coder."""
