"""The morning as one page: a file that opens from the disk, and asks nobody for anything."""
